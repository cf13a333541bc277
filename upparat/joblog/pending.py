"""The uploads that are still to come, in private files: after the end of its execution AWS signs no
other URL for a log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from twisted.logger import Logger

from upparat.job import ExecutionKey

from .directory import LogDirectory, LogName


@dataclass(frozen=True)
class PendingUpload:
    """An upload.

    :ivar url: a secret.
    :ivar attempts: how often it was begun.
    """

    key: ExecutionKey
    url: str = field(repr=False)
    attempts: int = 0


class PendingUploads:
    """One file beside each log that is to be uploaded. Trouble with the disk is logged, and the
    upload then does not survive a restart of the agent."""

    log = Logger()

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory

    def all(self) -> list[PendingUpload]:
        """The uploads that an earlier agent has left, oldest first."""
        with self._logged("read"):
            found = [self._read(name) for name in self._directory.names()]
            return [each for each in found if each is not None]
        return []

    def find(self, key: ExecutionKey) -> PendingUpload | None:
        """The upload for an execution, if there is one."""
        with self._logged("read"):
            name = self._directory.find(key)
            return self._read(name) if name is not None else None
        return None

    def save(self, pending: PendingUpload) -> None:
        """Remember an upload, also after a power cut."""
        with self._logged("written"):
            if (name := self._directory.find(pending.key)) is not None:
                content = {"url": pending.url, "attempts": pending.attempts}
                self._directory.files.replace(name.upload, json.dumps(content).encode())

    def remove(self, key: ExecutionKey) -> None:
        """Forget an upload: it is done, or given up."""
        with self._logged("removed"):
            if (name := self._directory.find(key)) is not None:
                self._directory.files.remove(name.upload, sync=True)

    def _read(self, name: LogName) -> PendingUpload | None:
        """Read a file. One that makes no sense counts as missing: the log does without."""
        try:
            content = json.loads(self._directory.files.read(name.upload))
            url, attempts = content["url"], content["attempts"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None
        valid = isinstance(url, str) and type(attempts) is int
        return PendingUpload(name.key, url, attempts) if valid else None

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.log.warn("An upload cannot be {what}: {error}", what=what, error=str(error))

"""The directory of the logs: the names of its files, and the executions that are kept.

The files of an execution are ``<sequence>.<job>.<number>.<queued at>.<offset>.log``, one for each
segment of its log, and ``….upload`` while an upload is to come. A job id holds no dot, so the parts
of a name cannot be mixed up. The sequence numbers the executions in the order of their work,
because a device without a battery cannot order them by time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upparat.job import ExecutionKey
from upparat.private import PrivateDirectory

KEPT = 5
"""The number of executions whose logs are kept."""

_JOB_ID = re.compile(r"[a-zA-Z0-9:_@-]{1,64}")
_NUMBER = r"(0|[1-9]\d{0,18})"
_FILE = re.compile(
    rf"{_NUMBER}\.({_JOB_ID.pattern})\.{_NUMBER}\.{_NUMBER}\.(?:{_NUMBER}\.log|upload|new)"
)


class UnfitKey(ValueError):
    """An execution whose log could not have a safe name."""


@dataclass(frozen=True)
class LogName:
    """The names of one execution's files.

    :ivar sequence: higher than that of any execution before.
    """

    sequence: int
    key: ExecutionKey

    @property
    def upload(self) -> str:
        return f"{self._stem}.upload"

    def segment(self, offset: int) -> str:
        """The file that begins after so many bytes of the log."""
        return f"{self._stem}.{offset}.log"

    @property
    def _stem(self) -> str:
        return ".".join(map(str, (self.sequence, *self.key)))


class LogDirectory:
    """The directory; it is made for the first log. Every method may raise :class:`OSError`."""

    def __init__(self, path: Path) -> None:
        self.files = PrivateDirectory(path)

    def names(self) -> list[LogName]:
        """The executions that have a log, oldest first."""
        found = {name for _, name, offset in self._files() if offset is not None}
        return sorted(found, key=lambda name: name.sequence)

    def find(self, key: ExecutionKey) -> LogName | None:
        """The name of an execution's log, if it has one."""
        return next((name for name in reversed(self.names()) if name.key == key), None)

    def create(self, key: ExecutionKey) -> LogName:
        """Name the log of a new execution, and remove the logs of the oldest ones.

        :raises UnfitKey: if its name would not be safe.
        """
        if not _JOB_ID.fullmatch(key.job_id) or min(key.number, key.queued_at) < 0:
            raise UnfitKey(f"the job id {key.job_id!r} or a number of it cannot name a file")
        self.files.prepare()
        names = self.names()
        for old in names[: max(0, len(names) - KEPT + 1)]:
            self._remove(old)
        return LogName(names[-1].sequence + 1 if names else 1, key)

    def segments(self, name: LogName) -> list[int]:
        """The offsets of an execution's segments, in order."""
        return sorted(
            offset for _, each, offset in self._files() if each == name and offset is not None
        )

    def _remove(self, name: LogName) -> None:
        for file, each, _ in list(self._files()):
            if each == name:
                self.files.remove(file)

    def _files(self) -> Iterator[tuple[str, LogName, int | None]]:
        """Each file of ours, with its offset if it is a segment. Other files are left alone."""
        try:
            with self.files.opened() as descriptor:
                found = os.listdir(descriptor)
        except FileNotFoundError:
            return
        for file in found:
            if match := _FILE.fullmatch(file):
                key = ExecutionKey(match[2], int(match[3]), int(match[4]))
                offset = None if match[5] is None else int(match[5])
                yield file, LogName(int(match[1]), key), offset

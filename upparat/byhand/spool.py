"""The install in hand, in a private file of the state directory, so that it outlives a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from upparat.job import ExecutionKey, JobExecution, State, Status
from upparat.private import PrivateDirectory

NAME = "install.json"

SCHEMA = 1
"""The format of the file; a file of another format is no install."""


@dataclass(frozen=True)
class InstallOrder:
    """What somebody wants to be installed.

    :ivar path: of the file on the device, absolute.
    :ivar offset: of the update's first byte in that file.
    :ivar document: of the job, without ``file``; with ``size`` and ``sha256`` of the update.
    """

    path: Path
    offset: int
    document: Mapping[str, Any] = field(repr=False)


class InstallSpool:
    """Keeps one install.

    :param directory: the state directory.
    """

    log = Logger()

    def __init__(self, directory: Path) -> None:
        self._directory = PrivateDirectory(directory)

    def load(self) -> JobExecution | None:
        """Read the file; a file that makes no sense is no install."""
        try:
            return _parse(self._directory.read(NAME))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
            self.log.error("{name} cannot be read: {problem!r}", name=NAME, problem=problem)
            return None

    def save(self, install: JobExecution) -> None:
        """:raises OSError: if the file cannot be written."""
        content = {
            "schema": SCHEMA,
            **install.key._asdict(),
            "status": install.status.value,
            "details": dict(install.details),
            "document": install.document,
        }
        self._directory.replace(NAME, json.dumps(content).encode())

    def remove(self) -> None:
        """:raises OSError: if the file cannot be removed."""
        self._directory.remove(NAME, sync=True)


def unfinished(
    install: JobExecution | None, remembered: ExecutionKey | None
) -> JobExecution | None:
    """Return an install that an agent has to go on with.

    :param install: the content of the file.
    :param remembered: the execution that the record names. The record doubts a success until
        nothing is left to do, and has it verified again. An install that was not needed is as good
        as not begun.
    """
    if install is None or not install.status.ended:
        return install
    if install.key != remembered:
        return None
    unneeded = install.details.get("state") == State.VERSION_ALREADY_INSTALLED.value
    return replace(install, status=Status.QUEUED if unneeded else Status.IN_PROGRESS)


def _parse(content: bytes) -> JobExecution:
    found = json.loads(content)
    if found["schema"] != SCHEMA:
        raise ValueError("schema: is another one")
    key = ExecutionKey(found["job_id"], found["number"], found["queued_at"])
    details = found["details"]
    texts = [key.job_id, *details, *details.values()] if isinstance(details, dict) else [None]
    if not all(type(each) is str for each in texts) or not key.local:
        raise TypeError("a text is expected")
    if type(key.number) is not int or type(key.queued_at) is not int:
        raise TypeError("a number is expected")
    return JobExecution(key, Status(found["status"]), 0, details, found["document"])

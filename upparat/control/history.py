"""The last jobs, in a private file of the state directory, so that a restart does not hide them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from upparat.log import redact
from upparat.private import PrivateDirectory
from upparat.snapshots import EndedJob
from upparat.text import printable

NAME = "history.json"

KEPT = 5

SCHEMA = 1
"""The format of the file; a file of another format counts as empty."""

_LONGEST_VERSION = 128


@dataclass(frozen=True)
class PastJob:
    """A job in the history; ``time`` is its end, in ISO 8601."""

    id: str
    execution: int
    queued: int
    version: str
    status: str
    state: str
    message: str
    time: str


class History:
    """The last jobs, the newest first.

    :param directory: the state directory.
    :param now: returns the time of day, in seconds since the epoch.
    """

    log = Logger()

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._directory = PrivateDirectory(directory)
        self._now = now
        self.jobs: tuple[PastJob, ...] = ()

    def load(self) -> None:
        """Read the file; a file that is missing or broken is an empty history."""
        try:
            self.jobs = _parse(self._directory.read(NAME))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as problem:
            self.log.warn("{name} cannot be read: {problem}", name=NAME, problem=str(problem))

    def add(self, ended: EndedJob) -> None:
        """Put a job first, and write the file. A job that ends again after a crash is one job."""
        past = self._past(ended)
        others = [each for each in self.jobs if _key(each) != _key(past)]
        self.jobs = (past, *others)[:KEPT]
        content = {"schema": SCHEMA, "jobs": [asdict(each) for each in self.jobs]}
        try:
            self._directory.replace(NAME, json.dumps(content).encode())
        except OSError as error:
            self.log.warn("{name} cannot be written: {error}", name=NAME, error=str(error))

    def _past(self, ended: EndedJob) -> PastJob:
        when = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
        return PastJob(
            *ended.key,
            version=printable(ended.version)[:_LONGEST_VERSION],
            status=ended.status,
            state=ended.state,
            message=redact(ended.message),
            time=when,
        )


def _key(job: PastJob) -> tuple[str, int, int]:
    return job.id, job.execution, job.queued


def _parse(content: bytes) -> tuple[PastJob, ...]:
    found = json.loads(content)
    if found["schema"] != SCHEMA:
        return ()
    return tuple(_job(each) for each in found["jobs"])[:KEPT]


def _job(found: Mapping[str, Any]) -> PastJob:
    """Read one job; every member must have its type, because clients rely on it."""
    numbers = {name: found[name] for name in ("execution", "queued")}
    texts = {name: found[name] for name in ("id", "version", "status", "state", "message", "time")}
    if not all(type(value) is int for value in numbers.values()):
        raise TypeError("a number is expected")
    if not all(type(value) is str for value in texts.values()):
        raise TypeError("a text is expected")
    return PastJob(**numbers, **texts)

"""The last jobs, in a private file of the state directory, so that a restart does not hide them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from upparat.job import ExecutionKey
from upparat.log import redact
from upparat.private import PrivateDirectory
from upparat.snapshots import EndedJob
from upparat.text import printable

NAME = "history.json"

KEPT = 20
"""Jobs in the file."""

SHOWN = 5
"""Jobs in a status."""

SCHEMA = 1
"""The format of the file; a file of another format counts as empty."""

_LONGEST_VERSION = 128

_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""A clock that shows an earlier time was not set."""

_LONGEST = timedelta(days=365)


@dataclass(frozen=True)
class PastJob:
    """A job in the history; times are in ISO 8601.

    :ivar time: of its end.
    :ivar replaced: the version that ran before; empty if it is not known.
    :ivar begun: when the agent began to work on it; empty if that is not known.
    """

    id: str
    execution: int
    queued: int
    version: str
    status: str
    state: str
    message: str
    time: str
    replaced: str = ""
    begun: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took; ``None`` if nobody knows, because the clock was set meanwhile."""
        try:
            begun, ended = datetime.fromisoformat(self.begun), datetime.fromisoformat(self.time)
            took = ended - begun
        except (ValueError, TypeError):
            return None
        fits = begun >= _EARLIEST and timedelta() <= took <= _LONGEST
        return took.total_seconds() if fits else None


class History:
    """The last jobs, the newest first.

    :param directory: the state directory.
    :param now: returns the time of day, in seconds since the epoch.
    """

    log = Logger()

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._directory = PrivateDirectory(directory)
        self._now = now
        self._begun: _Begun | None = None
        self.jobs: tuple[PastJob, ...] = ()

    def load(self) -> None:
        """Read the file; a file that is missing or broken is an empty history."""
        try:
            self.jobs, self._begun = _parse(self._directory.read(NAME))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as problem:
            self.log.warn("{name} cannot be read: {problem}", name=NAME, problem=str(problem))

    def begin(self, key: ExecutionKey) -> None:
        """Note that the agent works on a job. A job that goes on after a restart began before."""
        if self._begun is None or self._begun.key != key:
            self._begun = _Begun(*key, self._time())
            self._write()

    def add(self, ended: EndedJob) -> None:
        """Put a job first, and write the file. A job that ends again after a crash is one job."""
        past = self._past(ended)
        others = [each for each in self.jobs if _key(each) != _key(past)]
        self.jobs = (past, *others)[:KEPT]
        if self._begun is not None and self._begun.key == ended.key:
            self._begun = None
        self._write()

    def _write(self) -> None:
        content: dict[str, Any] = {"schema": SCHEMA, "jobs": [asdict(each) for each in self.jobs]}
        if self._begun is not None:
            content["begun"] = asdict(self._begun)
        try:
            self._directory.replace(NAME, json.dumps(content).encode())
        except OSError as error:
            self.log.warn("{name} cannot be written: {error}", name=NAME, error=str(error))

    def _past(self, ended: EndedJob) -> PastJob:
        begun = self._begun.time if self._begun and self._begun.key == ended.key else ""
        earlier = next((each for each in self.jobs if _key(each) == tuple(ended.key)), None)
        return PastJob(
            *ended.key,
            version=printable(ended.version)[:_LONGEST_VERSION],
            status=ended.status,
            state=ended.state,
            message=redact(ended.message),
            time=self._time(),
            replaced=printable(ended.replaced)[:_LONGEST_VERSION],
            begun=begun or (earlier.begun if earlier else ""),
        )

    def _time(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class _Begun:
    """The job that the agent works on."""

    id: str
    execution: int
    queued: int
    time: str

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.id, self.execution, self.queued)


def _key(job: PastJob) -> tuple[str, int, int]:
    return job.id, job.execution, job.queued


def read_history(directory: Path) -> tuple[PastJob, ...]:
    """Return the jobs of an agent that does not run, the newest first.

    :raises OSError: if the file cannot be read.
    :raises ValueError: if it makes no sense.
    """
    try:
        return _parse(PrivateDirectory(directory).read(NAME))[0]
    except FileNotFoundError:
        return ()
    except (TypeError, KeyError) as problem:
        raise ValueError(str(problem)) from None


def _parse(content: bytes) -> tuple[tuple[PastJob, ...], _Begun | None]:
    found = json.loads(content)
    if found["schema"] != SCHEMA:
        return (), None
    jobs = tuple(_job(each) for each in found["jobs"])[:KEPT]
    return jobs, _parse_begun(found.get("begun"))


def _parse_begun(found: Mapping[str, Any] | None) -> _Begun | None:
    if found is None:
        return None
    begun = _Begun(found["id"], found["execution"], found["queued"], found["time"])
    if not all(map(_fits, (begun.id, begun.execution, begun.queued, begun.time), _BEGUN)):
        raise TypeError("another type is expected")
    return begun


_BEGUN = (str, int, int, str)


def _fits(value: object, kind: type) -> bool:
    return type(value) is kind


def _job(found: Mapping[str, Any]) -> PastJob:
    """Read one job; every member must have its type, because clients rely on it."""
    numbers = {name: found[name] for name in ("execution", "queued")}
    texts = {name: found[name] for name in ("id", "version", "status", "state", "message", "time")}
    texts.update({name: found[name] for name in ("replaced", "begun") if name in found})
    if not all(type(value) is int for value in numbers.values()):
        raise TypeError("a number is expected")
    if not all(type(value) is str for value in texts.values()):
        raise TypeError("a text is expected")
    return PastJob(**numbers, **texts)

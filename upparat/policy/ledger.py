"""The ledger: what people have said, and how long a job has waited, in a private file.

All times are countdowns, and not times of day, because a clock may be set at any moment. While the
agent runs they follow a clock that nobody sets. The time that the device was off counts as the time
of day says, but never backwards: a clock that has jumped back lengthens no wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from upparat.job import ExecutionKey
from upparat.ports import JobStep
from upparat.private import PrivateDirectory

from .clock import believable
from .decisions import Standing

NAME = "policy.json"

SCHEMA = 1
"""The format of the file; a file of another format counts as empty."""

SAVE_INTERVAL = 600.0
"""Seconds after which the file is written, while a countdown runs: flash is written seldom."""

FIRST_SAVE = 60.0
"""Seconds until the first writing. The time doubles from one to the next, so that even
a device without a clock that is switched off again and again gets on."""

STEADY = 300.0
"""Seconds by which a time of day may be off before it is told anew: it is reported to AWS."""


@dataclass
class _Page:
    """What the file holds. ``promised``: the times of day that were told, by what they are of."""

    key: ExecutionKey | None = None
    standing: Standing = field(default_factory=Standing)
    paused: float = 0.0
    promised: dict[str, float] = field(default_factory=dict)


class Ledger:
    """The ledger of one agent. It raises nothing: without its file it goes on in memory.

    :param directory: the state directory.
    :param now: returns the time of day, in seconds since the epoch.
    :param elapsed: returns seconds on a clock that nobody sets.
    """

    log = Logger()

    def __init__(
        self, directory: Path, now: Callable[[], float], elapsed: Callable[[], float]
    ) -> None:
        self._directory = PrivateDirectory(directory)
        self._now = now
        self._elapsed = elapsed
        self._page = _Page()
        self._seen = self._saved = elapsed()
        self._interval = FIRST_SAVE
        self._writable = True
        self._load()

    @property
    def standing(self) -> Standing:
        return self._page.standing

    @property
    def key(self) -> ExecutionKey | None:
        """The execution that the standing is of."""
        return self._page.key

    @property
    def paused(self) -> float:
        """Seconds that the agent is still paused; 0 if it is not."""
        return self._page.paused

    def turn_to(self, key: ExecutionKey) -> None:
        """Begin a page for this execution, unless it has one."""
        if self._page.key != key:
            paused, pause = self._page.paused, self._page.promised.get("pause")
            self._page = _Page(key, paused=paused)
            if pause is not None:
                self._page.promised["pause"] = pause

    def tick(self) -> None:
        """Let the countdowns go on, and write the file now and then."""
        seen, self._seen = self._seen, self._elapsed()
        passed = max(0.0, self._seen - seen)
        if self.standing.step is not None and not believable(self._now()):
            self.standing.blind += passed
        self._count(passed)
        if self._counts and self._seen - self._saved >= self._interval:
            self._interval = min(2 * self._interval, SAVE_INTERVAL)
            self.save()

    def pause(self, seconds: float) -> None:
        """Pause for so long; 0 ends a pause."""
        self._page.paused = seconds
        self._page.promised.pop("pause", None)
        self.save()

    def defer(self, seconds: float) -> None:
        """Defer the job for so long; 0 ends that."""
        self.standing.deferred = seconds
        self._page.promised.pop("deferral", None)
        self.save()

    def grant(self, step: JobStep) -> None:
        """The step may begin, also after a crash."""
        waited = self.standing.step is step
        if waited or step not in self.standing.granted:
            self.standing.granted.add(step)
            self.standing.step = None if waited else self.standing.step
            self.save()

    def wait(self, step: JobStep) -> None:
        """The step waits."""
        if self.standing.step is not step:
            self.standing.step = step
            self.save()

    def promise(self, what: str, moment: float) -> float:
        """Return the time of day that was told before, if it is still about the same: it moves a
        little whenever the clock is set."""
        told = self._page.promised.get(what)
        if told is None or abs(told - moment) > STEADY:
            told = self._page.promised[what] = moment
            self.save()
        return told

    # --- the countdowns ---

    @property
    def _counts(self) -> bool:
        return self.standing.step is not None or bool(self.paused or self.standing.deferred)

    def _count(self, passed: float) -> None:
        standing = self.standing
        if standing.step is not None:
            standing.waited += passed
        standing.deferred = max(0.0, standing.deferred - passed)
        self._page.paused = max(0.0, self.paused - passed)

    # --- the file ---

    def save(self) -> None:
        """Write the file."""
        self._saved = self._elapsed()
        page, standing = self._page, self.standing
        job = {
            "key": list(page.key) if page.key else None,
            "granted": sorted(standing.granted),
            "step": standing.step,
            "waited": standing.waited,
            "blind": standing.blind,
            "deferred": standing.deferred,
        }
        whole = {
            "schema": SCHEMA,
            "seen": self._now(),
            "paused": page.paused,
            "promised": page.promised,
            "job": job,
        }
        try:
            self._directory.replace(NAME, json.dumps(whole).encode())
            self._writable = True
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if self._writable:
            self._writable = False
            self.log.warn("{name} cannot be written: {error}", name=NAME, error=str(error))

    def _load(self) -> None:
        try:
            found = json.loads(self._directory.read(NAME))
            if found["schema"] == SCHEMA:
                self._page = _parse(found)
                self._count(self._away(_number(found["seen"])))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
            self._page = _Page()
            self.log.warn("{name} cannot be read: {problem}", name=NAME, problem=str(problem))

    def _away(self, seen: float) -> float:
        """Seconds from the last writing of the file to now, as far as the clock can tell."""
        now = self._now()
        return max(0.0, now - seen) if believable(seen) and believable(now) else 0.0


def _parse(found: Mapping[str, Any]) -> _Page:
    job = found["job"]
    standing = Standing(
        granted={JobStep(each) for each in job["granted"]},
        step=None if job["step"] is None else JobStep(job["step"]),
        waited=_number(job["waited"]),
        blind=_number(job["blind"]),
        deferred=_number(job["deferred"]),
    )
    promised = {str(name): _number(each) for name, each in found["promised"].items()}
    return _Page(_key(job["key"]), standing, _number(found["paused"]), promised)


def _key(value: Any) -> ExecutionKey | None:
    if value is None:
        return None
    job_id, number, queued_at = value
    if type(job_id) is not str or type(number) is not int or type(queued_at) is not int:
        raise TypeError("a key is expected")
    return ExecutionKey(job_id, number, queued_at)


def _number(value: Any) -> float:
    """Read a number of seconds, which is finite and not negative."""
    if type(value) not in (int, float) or not 0 <= value < 1e12:
        raise TypeError("a number of seconds is expected")
    return float(value)

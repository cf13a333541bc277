"""The agent dies at each point of an update in turn, and the update comes to its right end.

``make test`` plays an eighth of the points, always the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.mosquitto import requires_mosquitto
from tests.support.sweep import SWEEP
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = [pytest.mark.mosquitto, requires_mosquitto]

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = 2
"""Updates that run side by side in each test."""

PARTS = range(8) if SWEEP else range(1)
of_each_part = pytest.mark.parametrize("part", PARTS)

AT_LEAST = 40
"""Points that an update has by the project's own demand."""


LAST = "after fetch_jobs -> monitor"


class Doomed:
    """An agent that dies at a point of its first life; its later lives are as usual."""

    def __init__(self, directory: Path, at: int) -> None:
        self.points = directory.with_suffix(".points")
        self._at = at
        self._lives = 0

    @property
    def finished(self) -> bool:
        """Whether the first life has come to its end: progress is not reported equally often in
        each, so that the last points may not be reached."""
        return self.passed()[-1:] == [LAST]

    def passed(self) -> list[str]:
        return self.points.read_text().splitlines()

    def command(self, plain: list[str]) -> list[str]:
        self._lives += 1
        if self._lives > 1:
            return plain
        facts = [f"CRASH_POINTS={self.points}", f"CRASH_AT={self._at}", f"PYTHONPATH={ROOT}"]
        return ["env", *facts, sys.executable, "-m", "tests.support.crashpoints", *plain]


def update(
    directory: Path,
    at: int,
    *,
    reboots: bool = False,
    streamed: bool = False,
    broken: bool = False,
) -> tuple[list[str], list[str]]:
    """One update with a crash at a point; the points that were passed, and what is wrong."""
    doomed = Doomed(directory, at)
    with World(directory, command=doomed.command, streamed=streamed, broken=broken) as world:
        restart = world.hooks.kill_agent() if reboots else None
        file = world.release("job-1", "2.0", restart)
        world.agent.supervised = True
        world.agent.reboots, world.agent.reboots_when_killed = reboots, False
        world.agent.start()
        world.cloud.wait_for_end("job-1", timeout=120)
        wait_until(lambda: doomed.finished or world.agent.starts > 1)
        wrong = world.untold("job-1") if broken else world.violations("job-1", file, "2.0")
        if wrong:
            wrong += [f"in {directory}", *world.agent.log.splitlines()[-60:]]
    return doomed.passed(), wrong


def sweep(
    directory: Path, part: int, first: str, last: str | None = None, **kind: bool
) -> Iterator[str]:
    """What is wrong with the updates that are cut off at every eighth point that a whole one has.

    :param part: how many points are left out before the first one.
    :param first: the name of the first point.
    :param last: the name of the last point; without it, the end of the agent's first life.
    """
    points, wrong = update(directory / "whole", 0, **kind)
    yield from wrong
    print(f"{len(points)} points")
    assert len(points) >= AT_LEAST
    with ThreadPoolExecutor(AT_ONCE) as pool:
        end = points.index(last) if last else len(points) - 1
        numbers = range(1 + points.index(first), 2 + end)[part::8]
        assert numbers
        results = pool.map(lambda at: update(directory / f"at-{at}", at, **kind), numbers)
        for number, (_, wrong) in zip(numbers, results, strict=True):
            yield from (f"{number} ({points[number - 1]}): {each}" for each in wrong)


@of_each_part
def test_each_point_of_an_update_with_a_soft_restart(part: int, tmp_path: Path) -> None:
    assert list(sweep(tmp_path, part, "before idle -> fetch_jobs")) == []


@of_each_part
def test_each_point_from_the_restart_on_with_a_reboot(part: int, tmp_path: Path) -> None:
    """The restart hook takes the agent down; the next start is another boot."""
    assert list(sweep(tmp_path, part, "before install -> restart", reboots=True)) == []


@of_each_part
def test_each_point_while_the_file_is_streamed(part: int, tmp_path: Path) -> None:
    first, last = "before download -> install", "after install -> restart"
    assert list(sweep(tmp_path, part, first, last, streamed=True)) == []


@of_each_part
def test_each_point_of_a_rollback(part: int, tmp_path: Path) -> None:
    """And of the cleanup after it."""
    first = "before verify_installation -> rollback"
    assert list(sweep(tmp_path, part, first, broken=True)) == []

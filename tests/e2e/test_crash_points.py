"""The agent dies at each point of an update in turn, and the update comes to its right end.

``make test`` plays each sixteenth of the points, always the same.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.mosquitto import requires_mosquitto
from tests.support.scripts import copy_file, digest
from tests.support.sweep import SWEEP
from tests.support.waiting import wait_until
from tests.support.world import World
from upparat.bundle.document import make_document
from upparat.control.client import AskingFailed, ControlConnection
from upparat.control.protocol import ControlRequest, InstallRequest, RequestKind

pytestmark = [pytest.mark.mosquitto, requires_mosquitto]

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = 2
"""Updates that run side by side in each test."""

STRIDE = 8 if SWEEP else 24
"""One of so many points is played in each part."""

PARTS = range(STRIDE) if SWEEP else range(1)
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


def install(directory: Path, at: int) -> tuple[list[str], list[str]]:
    """One install by hand with a crash at a point: what :func:`update` returns."""
    doomed = Doomed(directory, at)
    with tempfile.TemporaryDirectory() as place:  # the path of a socket has to be short
        path = Path(place, "control.sock")
        with World(directory, {"control": {"socket": path}}, command=doomed.command) as world:
            medium = directory / "app.bin"
            medium.write_bytes(random.Random(at).randbytes(100_000))
            world.hooks.install([digest(), copy_file(world.hooks.installed_file), digest()])
            world.agent.supervised = True
            world.agent.start()
            wait_until(lambda: handed_over(path, medium))
            wait_until(lambda: doomed.finished or world.agent.starts > 1)
            wrong = [*wrong_install(world, path, medium), *world.leftovers()]
            if wrong:
                wrong += [f"in {directory}", *world.agent.log.splitlines()[-60:]]
    return doomed.passed(), wrong


def handed_over(path: Path, medium: Path) -> bool:
    """Hand a file over, unless the agent has it already. Whether the install is over."""
    try:
        with ControlConnection(path, ControlRequest(RequestKind.STATUS)) as connection:
            status = next(connection.messages())
        if status["install"] is None and not status["history"]:
            order = InstallRequest(str(medium), 0, make_document(medium, "2.0"))
            request = ControlRequest(RequestKind.INSTALL, order=order)
            with ControlConnection(path, request) as connection:
                next(connection.messages())
    except AskingFailed:  # the agent is dead at the moment
        return False
    return status["install"] is None and bool(status["history"])


def wrong_install(world: World, path: Path, medium: Path) -> Iterator[str]:
    wait_until(lambda: handed_over(path, medium))
    with ControlConnection(path, ControlRequest(RequestKind.STATUS)) as connection:
        history = next(connection.messages())["history"]
    if [job["status"] for job in history] != ["SUCCEEDED"] or world.version != "2.0":
        yield f"version {world.version} runs after {history}"
    if world.hooks.installed_file.read_bytes() != medium.read_bytes():
        yield "the installed file is another one"
    if {seen for _, seen in world.hooks.digests()} != {sha256(medium.read_bytes()).hexdigest()}:
        yield "the install hook saw another file"
    if list(world.agent.directory.rglob("install.json")):
        yield "the order is left over"
    if world.cloud.store.updates:
        yield "AWS has heard of it"


def sweep(
    directory: Path,
    part: int,
    first: str,
    last: str | None = None,
    play: Callable[..., tuple[list[str], list[str]]] = update,
    **kind: bool,
) -> Iterator[str]:
    """What is wrong with the updates that are cut off at some of the points that a whole one has.

    :param part: how many points are left out before the first one.
    :param first: the name of the first point.
    :param play: plays one update.
    :param last: the name of the last point; without it, the end of the agent's first life.
    """
    points, wrong = play(directory / "whole", 0, **kind)
    yield from wrong
    print(f"{len(points)} points")
    assert len(points) >= AT_LEAST
    with ThreadPoolExecutor(AT_ONCE) as pool:
        end = points.index(last) if last else len(points) - 1
        numbers = range(1 + points.index(first), 2 + end)[part::STRIDE]
        assert numbers
        results = pool.map(lambda at: play(directory / f"at-{at}", at, **kind), numbers)
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
def test_each_point_of_an_install_by_hand(part: int, tmp_path: Path) -> None:
    first = "before rename to install.json"
    assert list(sweep(tmp_path, part, first, play=install)) == []


@of_each_part
def test_each_point_of_a_rollback(part: int, tmp_path: Path) -> None:
    """And of the cleanup after it."""
    first = "before verify_installation -> rollback"
    assert list(sweep(tmp_path, part, first, broken=True)) == []

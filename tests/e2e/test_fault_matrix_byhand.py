"""Each fault in each state of an install by hand; see :mod:`tests.support.matrix_byhand`.

``make test`` plays a seventh of the cells, always the same: each fault, and each state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_byhand import UPDATE, ended
from tests.e2e.test_control import verb, wait_for, waits
from tests.e2e.test_fault_matrix import ASKING, FAULTS_OF_HOOKS, HOOKS, Play, hook_crash
from tests.support.alone import AloneInstaller
from tests.support.matrix import Cell
from tests.support.matrix_byhand import BY_HAND, PHASES
from tests.support.mosquitto import requires_mosquitto
from tests.support.scripts import Step, hang, leave, show, wait_for_file
from tests.support.sweep import SWEEP
from tests.support.waiting import wait_until
from tests.support.world import Sections, World

pytestmark = [pytest.mark.mosquitto, requires_mosquitto]


class PlayByHand(Play):
    """An install by hand that is held in a state, as :class:`Play` does it with a job.

    :param socket: the control socket.
    """

    def __init__(self, world: World, state: str, socket: Path) -> None:
        super().__init__(world, state)
        self.socket = socket
        self.medium = socket.parent / "app.bin"
        self.medium.write_bytes(UPDATE)
        words = [self.medium, "--version", "2.0"]
        self.alone = AloneInstaller(world.agent.directory, world.agent.sections, words)

    # --- holding ---

    def hold_hook(self) -> None:
        """Let the first run of the hook of this state wait."""
        hooks, hook = self.world.hooks, HOOKS.get(self.state)
        if self.state == "rollback":
            hooks.restart([leave(1)])
        if hook is not None:
            work: dict[str, list[Step]] = {
                "version": [show(hooks.version_file)],
                "install": [["copy", str(hooks.installed_file)]],
                "restart": [hooks.become("2.0")],
            }
            steps = work.get(hook, [])
            hooks.set(hook, [wait_for_file(self.go_on), *steps], steps)
        self.configure()

    def configure(self) -> None:
        """Name the hooks that the device does without, as a rule."""
        sections = self.world.agent.sections
        hooks = {**sections["hooks"], **self.world.hooks.options}
        self.world.agent.configure({**sections, "hooks": hooks})

    def begin_with_agent(self) -> None:
        """Hand the file over to the agent of the device."""
        self.world.agent.start()
        wait_for(self.socket, lambda status: status["state"] == "monitor")
        words = (self.medium, "--version", "2.0", "--no-wait", "--socket", self.socket)
        assert verb("install", *words).returncode == 0

    def begin_alone(self) -> None:
        """Install without an agent."""
        self.alone.configure(self.world.agent.sections)
        self.alone.start()

    def arrive(self) -> None:
        if self.state == "hold":
            wait_for(self.socket, waits("approval"))
        else:
            self.world.hooks.wait_for_call(HOOKS[self.state])

    def release(self) -> None:
        if self.state == "hold":
            wait_until(self._approve_install)
        else:
            self.go_on.touch()

    def _approve_install(self) -> bool:
        return verb("approve", "install", "--socket", self.socket).returncode == 0

    # --- the end ---

    def check(self, cell: Cell) -> None:
        hooks, cloud = self.world.hooks, self.world.cloud
        past = ended(self.socket)
        wait_for(self.socket, lambda status: status["state"] == "monitor")
        assert past["id"].startswith("local@")
        assert past["state"] == cell.end
        assert cell.installs in (None, hooks.names().count("install"))
        if cell.end.startswith("complete"):
            assert hooks.version_file.read_text() == "2.0"
            assert hooks.installed_file.read_bytes() == UPDATE
        assert not [each for each in cloud.requests if "local@" in each.job_id]
        assert cloud.breaches + cloud.errors == []
        assert self.world.leftovers() == []


Fault = Callable[[PlayByHand], None]


def network_cut(play: PlayByHand) -> None:
    play.begin_with_agent()
    play.arrive()
    play.world.broker.kill()
    play.release()
    play.world.agent.wait_for_log("connecting again")
    play.world.broker.start()


def medium_removed(play: PlayByHand) -> None:
    play.begin_with_agent()
    play.arrive()
    away = play.medium.with_name("away")
    play.medium.rename(away)
    play.release()
    if play.state in ("verify_job", "download"):
        wait_for(play.socket, waits("download"))
        away.rename(play.medium)


def agent_stop(play: PlayByHand) -> None:
    _alone(play)
    assert play.alone.stop() == 75
    _go_on_with_agent(play)


def agent_kill(play: PlayByHand) -> None:
    _alone(play)
    play.alone.kill()
    _go_on_with_agent(play)


def reboot(play: PlayByHand) -> None:
    _alone(play)
    play.alone.power_cut()
    _go_on_with_agent(play)


def _alone(play: PlayByHand) -> None:
    play.begin_alone()
    play.arrive()


def _go_on_with_agent(play: PlayByHand) -> None:
    play.world.agent.start()
    play.release()


PLAYED: dict[str, Fault] = {
    "network cut": network_cut,
    "medium removed": medium_removed,
    "agent stop": agent_stop,
    "agent kill": agent_kill,
    "reboot": reboot,
}


def cells(
    states: Iterable[str], faults: Iterable[str], first: int = 0, *, every: bool = SWEEP
) -> list[Any]:
    """The cells to play: all of them, or each seventh, in knight's moves from this row on."""
    return [
        pytest.param(state, fault, id=f"{fault} in {state}")
        for row, fault in enumerate(faults, first)
        for column, state in enumerate(states)
        if every or (2 * row + column) % 7 == 0
    ]


@pytest.mark.parametrize(("state", "fault"), cells(PHASES, PLAYED))
def test_fault(state: str, fault: str, tmp_path: Path, path: Path) -> None:
    policy = ASKING if state == "hold" else {}
    sections: Sections = {"control": {"socket": path}, **policy}
    with World(tmp_path / "world", sections) as world:
        play = PlayByHand(world, state, path)
        play.hold_hook()
        PLAYED[fault](play)
        play.check(BY_HAND[fault][state])


@pytest.mark.parametrize(("state", "fault"), cells(HOOKS, FAULTS_OF_HOOKS, len(PLAYED)))
def test_fault_of_a_hook(state: str, fault: str, tmp_path: Path, path: Path) -> None:
    hook = HOOKS[state]
    timeout = {f"timeout_{hook}": 1 if fault == "hook hang" else 600}
    with World(tmp_path / "world", {"hooks": timeout, "control": {"socket": path}}) as world:
        play = PlayByHand(world, state, path)
        play.hold_hook()
        world.hooks.set(hook, [hang()])
        play.begin_alone()
        if fault == "hook crash":
            hook_crash(play)
        cell = BY_HAND[fault][state]
        assert play.alone.end() == (0 if cell.end.startswith("complete") else 3)
        assert f" {cell.end}" in play.alone.lines[-1]
        assert world.hooks.names().count("install") == cell.installs
        wait_until(lambda: play.alone.leftovers() == [])


def test_the_seventh_has_each_fault_and_each_state() -> None:
    played = [
        *cells(PHASES, PLAYED, every=False),
        *cells(HOOKS, FAULTS_OF_HOOKS, len(PLAYED), every=False),
    ]
    states, faults = (set(each) for each in zip(*(cell.values for cell in played), strict=True))
    assert (states, faults) == (set(PHASES), {*PLAYED, *FAULTS_OF_HOOKS})


def test_no_cell_is_empty() -> None:
    assert set(BY_HAND) == {*PLAYED, *FAULTS_OF_HOOKS, "disk full"}
    for row in BY_HAND.values():
        assert set(row) == set(PHASES)

"""Each fault in each state, with the real agent; see :mod:`tests.support.matrix`.

``make test`` plays a seventh of the cells, always the same: each fault, and each state.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_control import verb
from tests.simulator.faults import delayed, lost
from tests.support.files import File
from tests.support.matrix import DOCS, FAULTS, MATRIX, STATES, Cell, page
from tests.support.mosquitto import requires_mosquitto
from tests.support.scripts import Step, hang, leave, show, wait_for_file
from tests.support.sweep import SWEEP
from tests.support.waiting import wait_until
from tests.support.world import World, control_socket

pytestmark = [pytest.mark.mosquitto, requires_mosquitto]

HOOKS = {
    "verify_job": "version",
    "download": "download",
    "install": "install",
    "restart": "restart",
    "verify_installation": "ready",
    "rollback": "rollback",
    "cleanup": "cleanup",
}
ASKING = {"policy": {"install": "ask"}}


class Play:
    """An update that is held in a state: ``hold``, the fault, ``release``, ``check``."""

    def __init__(self, world: World, state: str) -> None:
        self.world = world
        self.state = state
        self.go_on = world.hooks.directory / "go-on"
        self.file: File

    # --- holding ---

    def hold(self) -> None:
        """Bring the agent into the state, and keep it there."""
        cloud = self.world.cloud
        if self.state == "fetch_jobs":
            cloud.on("get", delayed())
        elif self.state == "select_job":
            cloud.on("describe", delayed())
        if self.state == "monitor":
            self.world.agent.start().wait_for_log("-> monitor")
            return
        self.create_job()
        self.world.agent.start()
        self.arrive()

    def create_job(self) -> None:
        self.file = self.world.release("job-1", "2.0")
        if self.state == "download":
            self.file.stall(50_000)
        elif self.state in HOOKS:
            self._hold_hook(HOOKS[self.state])

    def _hold_hook(self, hook: str) -> None:
        """Its first run waits; it does its work afterwards."""
        hooks = self.world.hooks
        if hook == "rollback":
            hooks.restart([leave(1)])
        work: dict[str, list[Step]] = {
            "version": [show(hooks.version_file)],
            "install": [["copy", str(hooks.installed_file)]],
            "restart": [hooks.become("2.0")],
            "ready": [],
            "rollback": [],
            "cleanup": [],
        }
        hooks.set(hook, [wait_for_file(self.go_on), *work[hook]], work[hook])

    def arrive(self) -> None:
        if self.state == "download":
            assert self.file.stalled.wait(30)
            self.world.cloud.wait_for_state("job-1", "download_start")
        elif self.state in HOOKS:
            self.world.hooks.wait_for_call(HOOKS[self.state])
        elif self.state == "hold":
            self.world.cloud.wait_for_state("job-1", "waiting_for_approval")
        else:
            kind = {"fetch_jobs": "get", "select_job": "describe"}[self.state]
            self.world.cloud.wait_for(lambda: self.world.cloud.asked(kind))

    def release(self) -> None:
        """Let the state's work come to its end."""
        if self.state == "monitor":
            self.create_job()
        elif self.state == "download":
            self.file.release()
        elif self.state in HOOKS:
            self.go_on.touch()
        elif self.state == "hold":
            wait_until(self._approve)
        else:
            self.world.cloud.release()

    def _approve(self) -> bool:
        """Whether the agent waits by now, and has been told to go on."""
        socket = control_socket(self.world.agent.directory)
        return verb("approve", "install", "job-1", "--socket", socket).returncode == 0

    # --- the end ---

    def check(self, cell: Cell) -> None:
        hooks, cloud = self.world.hooks, self.world.cloud
        execution = None
        if cell.end:
            execution = cloud.wait_for_end("job-1", timeout=90)
        self.the_next_job_runs()
        assert (execution.state if execution else "") == cell.end
        if execution and self.state == "rollback":
            assert (execution.details or {})["rollback"] == "done"
        assert cell.installs in (None, hooks.names().count("install"))
        if cell.end.startswith("complete"):
            assert hooks.version_file.read_text() == "2.0"
            assert hooks.installed_file.read_bytes() == self.file.content
        assert cloud.breaches + cloud.errors == []
        assert self.world.leftovers() == []

    def the_next_job_runs(self) -> None:
        """One that can be told from its document alone."""
        self.world.cloud.create_job("job-2", {"action": "upparat-update"})
        end = self.world.cloud.wait_for_end("job-2", timeout=90)
        assert end.state == "invalid_job_document"


Fault = Callable[[Play], None]


def network_cut(play: Play) -> None:
    play.world.broker.kill()
    play.release()
    play.world.agent.wait_for_log("connecting again")
    play.world.broker.start()


def broker_restart(play: Play) -> None:
    play.world.broker.restart()
    play.release()


def throttles(play: Play) -> None:
    play.world.cloud.throttle(2)
    play.release()


def silent(play: Play) -> None:
    play.world.cloud.on("*", lost())
    play.release()


def ended_in_aws(play: Play, end: Callable[[], None]) -> None:
    end()
    if play.state in HOOKS or play.state == "hold":
        play.world.agent.wait_for_log("ended by others")
    if play.state != "hold":
        play.release()


def cancel(play: Play) -> None:
    ended_in_aws(play, lambda: play.world.cloud.cancel("job-1", force=True))


def delete(play: Play) -> None:
    ended_in_aws(play, lambda: play.world.cloud.delete("job-1", force=True))


def hook_crash(play: Play) -> None:
    os.kill(play.world.hooks.wait_for_call(HOOKS[play.state]).pid, signal.SIGKILL)


def agent_stop(play: Play) -> None:
    assert play.world.agent.stop() == 0
    play.world.agent.start()
    play.release()


def agent_kill(play: Play) -> None:
    play.world.agent.kill()
    play.world.agent.start()
    play.release()


def reboot(play: Play) -> None:
    play.world.agent.power_cut()
    play.world.agent.start()
    play.release()


PLAYED: dict[str, Fault] = {
    "network cut": network_cut,
    "broker restart": broker_restart,
    "AWS throttles": throttles,
    "AWS is silent": silent,
    "cancel": cancel,
    "delete": delete,
    "agent stop": agent_stop,
    "agent kill": agent_kill,
    "reboot": reboot,
}


def cells(states: Iterable[str], faults: Iterable[str], *, every: bool = SWEEP) -> list[Any]:
    """The cells to play: all of them, or each seventh, in knight's moves."""
    return [
        pytest.param(state, fault, id=f"{fault} in {state}")
        for row, fault in enumerate(faults)
        for column, state in enumerate(states)
        if (every or (2 * row + column) % 7 == 1) and not MATRIX[fault][state].test
    ]


FAULTS_OF_HOOKS = ("hook hang", "hook crash")


def _with_the_hook_of(state: str, world: World) -> None:
    """Configure the hook of this state, if an update works without."""
    if state in ("rollback", "cleanup"):
        world.hooks.set(state, [])
        sections = world.agent.sections
        hooks = {**sections["hooks"], **world.hooks.options}
        world.agent.configure({**sections, "hooks": hooks})


@pytest.mark.parametrize(("state", "fault"), cells(STATES, PLAYED))
def test_fault(state: str, fault: str, tmp_path: Path) -> None:
    with World(tmp_path / "world", ASKING if state == "hold" else None) as world:
        _with_the_hook_of(state, world)
        play = Play(world, state)
        play.hold()
        PLAYED[fault](play)
        play.check(MATRIX[fault][state])


@pytest.mark.parametrize(("state", "fault"), cells(HOOKS, FAULTS_OF_HOOKS))
def test_fault_of_a_hook(state: str, fault: str, tmp_path: Path) -> None:
    hook = HOOKS[state]
    sections = {"hooks": {f"timeout_{hook}": 1 if fault == "hook hang" else 600}}
    with World(tmp_path / "world", sections) as world:
        play = Play(world, state)
        play.file = world.release("job-1", "2.0")
        _with_the_hook_of(state, world)
        if state == "rollback":
            world.hooks.restart([leave(1)])
        world.hooks.set(hook, [hang()])
        world.agent.start()
        if fault == "hook crash":
            hook_crash(play)
        end = world.cloud.wait_for_end("job-1")
        cell = MATRIX[fault][state]
        message = {
            "hook hang": "Timed out after 1s and was ended",
            "hook crash": "Killed by signal 9 (SIGKILL)",
        }[fault]
        if state == "rollback":
            message = "Exit code: 1"
            assert (end.details or {})["rollback"] == "failed"
        elif state == "cleanup":
            world.agent.wait_for_log(f"cleanup hook: {message}")
            message = "none"
        assert (end.state, end.message) == (cell.end, message)
        assert world.hooks.names().count("install") == cell.installs
        wait_until(lambda: world.agent.leftovers() == [])


def test_the_seventh_has_each_fault_and_each_state() -> None:
    played = cells(STATES, PLAYED, every=False) + cells(HOOKS, FAULTS_OF_HOOKS, every=False)
    states, faults = (set(each) for each in zip(*(cell.values for cell in played), strict=True))
    assert (states, faults) == (set(STATES), {*PLAYED, *FAULTS_OF_HOOKS})


def test_no_cell_is_empty() -> None:
    assert {fault: set(cells) for fault, cells in MATRIX.items()} == {
        fault: set(STATES) for fault in FAULTS
    }


def test_the_table_in_the_docs_is_this_one() -> None:
    assert DOCS.read_text(encoding="utf-8") == page()

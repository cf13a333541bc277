"""``upparat install`` with real processes where no agent runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_control import runs_hook, verb, wait_for, waits
from tests.e2e.updates import Updates
from tests.support.agent import Agent, kill_marked, marked
from tests.support.alone import AloneInstaller
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import copy_file, hang, leave, wait_for_file
from tests.support.waiting import wait_until
from tests.support.world import device_config

UPDATE = bytes(range(256)) * 300
UNFIT = {"host": "", "cafile": "/nowhere/ca.pem", "thing_name": "not a name!", "port": "x"}

Install = Callable[..., AloneInstaller]


@pytest.fixture
def medium(path: Path) -> Path:
    file = path.parent / "app 2.0.bin"
    file.write_bytes(UPDATE)
    return file


@pytest.fixture
def install(tmp_path: Path, updates: Updates, broker: Mosquitto, path: Path) -> Iterator[Install]:
    """Start an install by the file of the device."""
    begun: list[AloneInstaller] = []

    def start(*words: object, **sections: Any) -> AloneInstaller:
        directory = tmp_path / "agent"
        sections = {"control": {"socket": path}, **sections}
        config = device_config(directory, broker, updates.hooks, sections)
        begun.append(AloneInstaller(directory, config, words))
        begun[-1].start()
        return begun[-1]

    yield start
    for each in begun:
        each.kill()
        print(each.log)
        assert "Traceback" not in each.log
        assert "Unhandled" not in each.log
    wait_until(lambda: not marked(tmp_path / "agent"))
    kill_marked(tmp_path / "agent")


@pytest.fixture
def start(updates: Updates, path: Path) -> Callable[..., Agent]:
    return lambda **sections: updates.start(control={"socket": path}, **sections)


def of(medium: Path) -> tuple[object, ...]:
    return medium, "--version", "2.0"


# --- the end --------------------------------------------------------------------------------------


def test_an_install(
    updates: Updates, install: Install, start: Callable[..., Agent], medium: Path, path: Path
) -> None:
    device = install(*of(medium))
    assert device.end() == 0
    assert device.lines[0].endswith(": version 2.0")
    assert "SUCCEEDED complete_soft_restart from 1.0" in device.lines[-1]
    assert updates.installed == UPDATE
    state = device.directory / "state"
    assert {"install.json", "record.json"} & {each.name for each in state.iterdir()} == set()
    assert not path.exists()
    again = install("--wait")
    assert again.end() == 0
    assert "complete_soft_restart" in again.lines[-1]
    start()  # AWS hears nothing of it, and the version is known
    wait_for(path, lambda status: status["history"][0]["state"] == "complete_soft_restart")
    updates.create()
    assert updates.end() == [("SUCCEEDED", "version_already_installed", "none")]


@pytest.mark.long
def test_a_file_without_what_the_connection_needs(
    updates: Updates, install: Install, medium: Path
) -> None:
    assert install(*of(medium), broker=UNFIT).end() == 0
    assert updates.installed == UPDATE


@pytest.mark.long
def test_the_control_socket_is_off(updates: Updates, install: Install, medium: Path) -> None:
    assert install(*of(medium), control={"socket": "off"}).end() == 0
    again = install("--wait", control={"socket": "off"})
    assert again.end() == 0
    assert "complete_soft_restart from 1.0" in again.lines[-1]


@pytest.mark.long
def test_a_failing_hook_and_its_rollback(updates: Updates, install: Install, medium: Path) -> None:
    updates.hooks.ready([leave(1)])
    updates.hooks.set("rollback", [])
    updates.hooks.set("cleanup", [])
    device = install(*of(medium))
    assert device.end() == 3
    assert "FAILED ready_hook_failed" in device.lines[-1]
    assert updates.hooks.names()[-3:] == ["rollback", "version", "cleanup"]


# --- what stops it --------------------------------------------------------------------------------


def cut_in(updates: Updates, install: Install, medium: Path, hook: str) -> None:
    """Begin an install, and cut the power while this hook hangs."""
    device = install(*of(medium))
    updates.hooks.wait_for_call(hook)
    device.power_cut()


def is_refused(install: Install, medium: Path) -> None:
    """A second install is refused as long as the first one is not over."""
    second = install(*of(medium))
    assert second.end() == 75
    assert "is not over yet" in second.lines[-1]


def test_a_kill_and_then_waiting(
    updates: Updates, install: Install, medium: Path, path: Path
) -> None:
    hooks = updates.hooks
    hooks.install([hang()], [copy_file(hooks.installed_file)])
    cut_in(updates, install, medium, "install")
    is_refused(install, medium)
    assert install("--wait").end() == 0
    assert updates.installed == UPDATE


@pytest.mark.long
def test_a_kill_in_the_cleanup(
    updates: Updates, install: Install, medium: Path, path: Path
) -> None:
    hooks = updates.hooks
    hooks.install([leave(1)], [copy_file(hooks.installed_file)])
    hooks.set("cleanup", [hang()], [])
    cut_in(updates, install, medium, "cleanup")
    is_refused(install, medium)
    assert install("--wait").end() == 3
    assert hooks.names().count("cleanup") == 2
    assert install(*of(medium)).end() == 0
    assert updates.installed == UPDATE


@pytest.mark.long
def test_a_kill_and_then_an_agent(
    updates: Updates, install: Install, start: Callable[..., Agent], medium: Path, path: Path
) -> None:
    hooks = updates.hooks
    hooks.install([hang()], [copy_file(hooks.installed_file)])
    cut_in(updates, install, medium, "install")
    start()
    assert verb("install", "--wait", "--socket", path).returncode == 0
    assert updates.installed == UPDATE


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_a_signal(updates: Updates, install: Install, medium: Path, number: signal.Signals) -> None:
    hooks = updates.hooks
    hooks.install([hang()], [copy_file(hooks.installed_file)])
    device = install(*of(medium))
    hooks.wait_for_call("install")
    device._end(number)
    assert device.exits == [75]
    assert "'upparat install --wait' or the agent goes on" in device.lines[-1]
    assert install("--wait").end() == 0


def test_a_restart(
    updates: Updates, install: Install, start: Callable[..., Agent], medium: Path, path: Path
) -> None:
    """The restart hook ends the agent, as a device that goes down does."""
    hooks = updates.hooks
    hooks.restart([hooks.become("2.0"), hooks.kill_agent()])
    device = install(*of(medium))
    assert device.end() == 75
    device.change_boot()
    start()
    waited = verb("install", "--wait", "--socket", path)
    assert waited.returncode == 0
    assert "complete_ready" in waited.stdout


# --- beside others --------------------------------------------------------------------------------


def test_a_second_install_and_an_agent_in_mid_install(
    updates: Updates, install: Install, start: Callable[..., Agent], medium: Path, path: Path
) -> None:
    hooks = updates.hooks
    go_on = path.parent / "go on"
    hooks.install([wait_for_file(go_on), copy_file(hooks.installed_file)])
    device = install(*of(medium))
    wait_for(path, runs_hook("install"))
    second = verb("install", *of(medium), "-c", device.config_file)
    assert second.returncode == 75
    assert "is not over yet" in second.stderr
    agent = start()
    assert agent.wait_exit() == 75
    assert f"is in use by process {device.pid}" in agent.log
    go_on.touch()
    assert device.end() == 0


def test_a_job_of_aws_in_hand(
    updates: Updates, install: Install, start: Callable[..., Agent], medium: Path, path: Path
) -> None:
    start()
    agent = updates.stand_still()
    agent.kill()
    device = install(*of(medium))
    assert device.end() == 75
    assert device.lines[-1] == "upparat: job job-1 is in hand: it waits for its agent"
    updates.file.release()
    agent.start()
    assert updates.end()[-1][0] == "SUCCEEDED"


@pytest.mark.long
def test_what_aws_has_not_heard_is_kept(
    updates: Updates,
    install: Install,
    start: Callable[..., Agent],
    medium: Path,
    path: Path,
    broker: Mosquitto,
) -> None:
    """The end of a job, and then the version that was installed by hand."""
    hooks = updates.hooks
    go_on = path.parent / "go on"
    hooks.ready([wait_for_file(go_on), leave(1)], [])
    agent = start()
    wait_for(path, lambda status: status["state"] == "monitor")
    updates.create(version="2.0")
    wait_for(path, runs_hook("ready"))
    broker.stop()
    go_on.touch()
    wait_for(path, lambda status: status["history"] and not status["job"])
    agent.kill()
    hooks.restart([hooks.become("3.0")])
    inventory = {"package": "app"}
    assert install(medium, "--version", "3.0", inventory=inventory).end() == 0
    broker.start()
    start(inventory=inventory)
    assert updates.end()[-1][:2] == ("FAILED", "ready_hook_failed")
    told = updates.cloud.shadow.history
    updates.cloud.wait_for(lambda: [each["app"]["version"] for each in told] == ["3.0"])
    assert {each.job_id for each in updates.cloud.store.updates} == {"job-1"}


@pytest.mark.long
def test_consent(updates: Updates, install: Install, medium: Path, path: Path) -> None:
    device = install(*of(medium), policy={"install": "ask"})
    wait_for(path, waits("approval"))
    assert verb("approve", "--socket", path).returncode == 0
    assert device.end() == 0

"""What the fleet sees of a restart: soft or real, in time or not, once or again and again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.test_control import wait_for, waits
from tests.e2e.updates import ALL_CALLS, SUCCEEDED, Updates
from tests.support.scripts import hang, leave
from tests.support.waiting import runs, wait_until

UP_TO_THE_RESTART = SUCCEEDED[:3]
BEFORE_THE_RESTART = ALL_CALLS[:4]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_reboot(number: signal.Signals, updates: Updates) -> None:
    updates.hooks.standard(restart=updates.hooks.kill_agent(number))
    device = updates.start(supervised=True, reboots=True)
    assert updates.run() == [*UP_TO_THE_RESTART, ("SUCCEEDED", "complete_ready", "none")]
    assert updates.hooks.names() == [*BEFORE_THE_RESTART, "version", "ready"]
    assert device.starts == 2


def test_restart_of_the_agent_alone(updates: Updates) -> None:
    updates.hooks.standard(restart=updates.hooks.kill_agent())
    updates.start(supervised=True)
    assert updates.run() == [*UP_TO_THE_RESTART, ("SUCCEEDED", "complete_ready", "none")]
    assert updates.hooks.names() == [*BEFORE_THE_RESTART, "version", "ready"]


def test_reboot_without_a_ready_hook(updates: Updates) -> None:
    updates.hooks.standard(restart=updates.hooks.kill_agent()).without("ready")
    updates.start(supervised=True, reboots=True)
    assert updates.run() == [*UP_TO_THE_RESTART, ("SUCCEEDED", "complete_no_ready_check", "none")]


def test_reboot_without_a_version_hook(updates: Updates) -> None:
    updates.hooks.standard(restart=updates.hooks.kill_agent()).without("version")
    updates.start(supervised=True, reboots=True)
    assert updates.run() == [*UP_TO_THE_RESTART, ("SUCCEEDED", "complete_no_version_check", "none")]
    assert updates.hooks.names() == ["download", "install", "restart"]


def test_reboot_into_the_old_version(updates: Updates) -> None:
    updates.hooks.restart([updates.hooks.kill_agent()])
    updates.start(supervised=True, reboots=True)
    assert updates.run() == [
        *UP_TO_THE_RESTART,
        ("FAILED", "version_mismatch", "Expected version '2.0', got '1.0'"),
    ]
    assert updates.hooks.names() == [*BEFORE_THE_RESTART, "version"]


def test_failing_restart(updates: Updates) -> None:
    updates.hooks.restart([leave(1)])
    assert updates.run() == [*UP_TO_THE_RESTART, ("FAILED", "restart_hook_failed", "Exit code: 1")]


def test_the_restart_waits_until_its_report_is_accepted(updates: Updates) -> None:
    seen: list[list[str]] = []
    updates.cloud.when(
        "job-1", "reboot_start", lambda: seen.append(updates.hooks.names()), before=True
    )
    updates.start()
    updates.create()
    updates.cloud.wait_for_end("job-1")
    assert seen == [["version", "download", "install"]]


def test_an_agent_that_dies_in_the_restart_restarts_again_and_not_for_ever(
    updates: Updates,
) -> None:
    updates.hooks.restart([updates.hooks.kill_agent(signal.SIGKILL), hang()])
    updates.start(supervised=True, hooks={"restart_attempts": 2, "timeout_restart": 2})
    assert updates.run() == [
        *UP_TO_THE_RESTART,
        ("IN_PROGRESS", "reboot_start", "none"),
        (
            "FAILED",
            "restart_hook_failed",
            "The agent was stopped in each of 2 runs of the restart hook",
        ),
    ]
    assert updates.hooks.names().count("install") == 1
    first, second = updates.hooks.calls("restart")
    wait_until(lambda: not runs(first.pid) and not runs(second.pid))


def test_the_agent_dies_before_the_device_goes_down(updates: Updates, path: Path) -> None:
    """The restart hook has exited with 0, and the device may still be going down."""
    device = updates.start(control={"socket": path}, hooks={"restart_grace": 600})
    updates.create()
    device.wait_for_log("restart hook done")
    device.kill()
    device.start()
    wait_for(path, waits("restart_grace"))
    assert updates.hooks.names() == BEFORE_THE_RESTART
    assert updates.history() == UP_TO_THE_RESTART


def test_a_soft_restart_that_takes_its_time(updates: Updates) -> None:
    updates.hooks.restart([])
    updates.start(hooks={"restart_timeout": 60})
    updates.create()
    updates.hooks.wait_for_call("version", 3)
    updates.hooks.version_file.write_text("2.0")
    assert updates.end() == [*UP_TO_THE_RESTART, ("SUCCEEDED", "complete_soft_restart", "none")]


def test_record_lost_in_the_restart(updates: Updates) -> None:
    """The status details alone lead to a sound end."""
    updates.hooks.standard(restart=updates.hooks.kill_agent(signal.SIGKILL))
    device = updates.start()
    updates.create()
    device.wait_exit()
    for record in device.directory.rglob("record.json"):
        record.unlink()
    device.start()
    assert updates.end() == [*UP_TO_THE_RESTART, ("SUCCEEDED", "complete_ready", "none")]


def test_status_details_lost_in_the_restart(updates: Updates) -> None:
    """The record alone does, too: another hand has overwritten the details."""
    updates.hooks.standard(restart=updates.hooks.kill_agent(signal.SIGKILL))
    device = updates.start()
    updates.create()
    device.wait_exit()
    updates.cloud.report("job-1", "IN_PROGRESS", operator="had a look")
    device.start()
    assert updates.end()[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert updates.hooks.names() == [*BEFORE_THE_RESTART, "version", "ready"]

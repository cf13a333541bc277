"""What the fleet sees of a restart: soft or real, in time or not, once or again and again."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.cloud import Cloud
from tests.support.files import File
from tests.support.scripts import Hooks, hang, leave
from tests.support.waiting import runs, wait_until

UP_TO_THE_RESTART = [
    ("IN_PROGRESS", "download_start", "none"),
    ("IN_PROGRESS", "installation_start", "none"),
    ("IN_PROGRESS", "reboot_start", "none"),
]
BEFORE_THE_RESTART = ["version", "download", "install", "restart"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_reboot(
    number: signal.Signals,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    hooks.standard(restart=hooks.kill_agent(number))
    device = agent(supervised=True, reboots=True)
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("SUCCEEDED", "complete_ready", "none"),
    ]
    assert hooks.names() == [*BEFORE_THE_RESTART, "version", "ready"]
    assert device.starts == 2


def test_restart_of_the_agent_alone(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.standard(restart=hooks.kill_agent())
    agent(supervised=True)
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("SUCCEEDED", "complete_ready", "none"),
    ]
    assert hooks.names() == [*BEFORE_THE_RESTART, "version", "ready"]


def test_reboot_without_a_ready_hook(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.standard(restart=hooks.kill_agent()).without("ready")
    agent(supervised=True, reboots=True)
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("SUCCEEDED", "complete_no_ready_check", "none"),
    ]


def test_reboot_without_a_version_hook(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.standard(restart=hooks.kill_agent()).without("version")
    agent(supervised=True, reboots=True)
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("SUCCEEDED", "complete_no_version_check", "none"),
    ]
    assert hooks.names() == ["download", "install", "restart"]


def test_reboot_into_the_old_version(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.restart([hooks.kill_agent()])
    agent(supervised=True, reboots=True)
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("FAILED", "version_mismatch", "Expected version '2.0', got '1.0'"),
    ]
    assert hooks.names() == [*BEFORE_THE_RESTART, "version"]


def test_failing_restart(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.restart([leave(1)])
    agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("FAILED", "restart_hook_failed", "Exit code: 1"),
    ]


def test_the_restart_waits_until_its_report_is_accepted(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    seen: list[list[str]] = []
    cloud.when("job-1", "reboot_start", lambda: seen.append(hooks.names()), before=True)
    agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert seen == [["version", "download", "install"]]


def test_an_agent_that_dies_in_the_restart_restarts_again_and_not_for_ever(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.restart([hooks.kill_agent(signal.SIGKILL), hang()])
    agent(supervised=True, hooks={"restart_attempts": 2, "timeout_restart": 2})
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("IN_PROGRESS", "reboot_start", "none"),
        (
            "FAILED",
            "restart_hook_failed",
            "The agent was stopped in each of 2 runs of the restart hook",
        ),
    ]
    assert hooks.names().count("install") == 1
    first, second = hooks.calls("restart")
    wait_until(lambda: not runs(first.pid) and not runs(second.pid))


def test_a_soft_restart_that_takes_its_time(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.restart([])
    agent(hooks={"restart_timeout": 60})
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call("version", 3)
    hooks.version_file.write_text("2.0")
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("SUCCEEDED", "complete_soft_restart", "none"),
    ]


def test_record_lost_in_the_restart(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """The status details alone lead to a sound end."""
    hooks.standard(restart=hooks.kill_agent(signal.SIGKILL))
    device = agent()
    cloud.create_job("job-1", document(firmware))
    device.wait_exit()
    for record in device.directory.rglob("record.json"):
        record.unlink()
    device.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        *UP_TO_THE_RESTART,
        ("SUCCEEDED", "complete_ready", "none"),
    ]


def test_status_details_lost_in_the_restart(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """The record alone does, too: another hand has overwritten the details."""
    hooks.standard(restart=hooks.kill_agent(signal.SIGKILL))
    device = agent()
    cloud.create_job("job-1", document(firmware))
    device.wait_exit()
    cloud.report("job-1", "IN_PROGRESS", operator="had a look")
    device.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1"))[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert hooks.names() == [*BEFORE_THE_RESTART, "version", "ready"]

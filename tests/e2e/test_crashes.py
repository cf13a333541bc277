"""An agent that is killed, and what it takes up when it is started again."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.cloud import Cloud
from tests.support.files import File
from tests.support.scripts import Hooks, copy_file, hang, leave, wait_for_file
from tests.support.waiting import runs, wait_until


def test_an_installer_that_outlives_the_agent_is_waited_for(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """Two at a time would break the device; then it runs again, since nobody knows its result."""
    go_on = hooks.directory / "go-on"
    hooks.install([wait_for_file(go_on)], [copy_file(hooks.installed_file)])
    device = agent()
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call("install")
    device.kill()
    device.start()
    device.wait_for_log("of an agent that was killed still runs")
    assert len(hooks.calls("install")) == 1
    go_on.touch()
    cloud.wait_for_end("job-1")
    first, second = hooks.calls("install")
    assert (first.code, first.retry, second.code, second.retry) == (0, 0, 0, 1)
    assert steps(cloud.history("job-1"))[-1] == ("SUCCEEDED", "complete_soft_restart", "none")


def test_an_installer_whose_environment_was_taken_away_is_found_as_well(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """As ``sudo`` does it."""
    go_on = hooks.directory / "go-on"
    hooks.install([wait_for_file(go_on)], [copy_file(hooks.installed_file)])
    hooks.options["install"] = f"/usr/bin/env -i {hooks.options['install']}"
    device = agent()
    cloud.create_job("job-1", document(firmware))
    assert hooks.wait_for_call("install").env == {}
    device.kill()
    device.start()
    device.wait_for_log("of an agent that was killed still runs")
    assert len(hooks.calls("install")) == 1
    go_on.touch()
    cloud.wait_for_end("job-1")
    assert [call.code for call in hooks.calls("install")] == [0, 0]
    assert [path.name for path in device.directory.rglob("*.pid")] == [device.pidfile.name]


@pytest.mark.parametrize("orderly", [True, False])
def test_a_restart_hook_that_outlives_the_agent_is_not_overtaken(
    orderly: bool,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """Not by ``restart_timeout``, not by a second one, and not by the next job's installation."""
    go_on = hooks.directory / "go-on"
    hooks.restart([wait_for_file(go_on), hooks.become("2.0")])
    device = agent(hooks={"restart_timeout": 1, "restart_grace": 0})
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call("restart")
    if orderly:
        device.stop()
    else:
        device.kill()
    device.start()
    cloud.create_job("job-2", document(firmware, version="3.0"))
    hooks.wait_for_call("version", 6)
    assert hooks.names().count("install") == 1
    assert cloud.store.execution("job-1").status.value == "IN_PROGRESS"
    go_on.touch()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1"))[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert hooks.names()[:5] == ["version", "download", "install", "restart", "version"]
    cloud.wait_for_end("job-2")


@pytest.mark.parametrize("hook", ["version", "download", "ready"])
def test_other_hooks_are_ended_and_run_again(
    hook: str, agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    last = [["show", str(hooks.version_file)]] if hook == "version" else []
    hooks.set(hook, [hang()], last)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    first = hooks.wait_for_call(hook)
    device.kill()
    device.start()
    cloud.wait_for_end("job-1")
    wait_until(lambda: not runs(first.pid))
    assert hooks.calls(hook)[1].retry == 1
    expected = "complete_ready" if hook == "ready" else "complete_soft_restart"
    assert steps(cloud.history("job-1"))[-1] == ("SUCCEEDED", expected, "none")


def test_retries_and_time_go_on(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """``max_retries`` bounds what it says, whatever happens to the agent."""
    hooks.install([leave(3)])
    device = agent(hooks={"max_retries": 4, "retry_interval": 1})
    cloud.create_job("job-1", document(firmware))
    for count in (2, 3):
        wait_until(lambda: [call.code for call in hooks.calls("install")].count(3) >= count)  # noqa: B023
        device.kill()
        device.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1"))[-1] == (
        "FAILED",
        "installation_hook_failed",
        "Timeout after 4s",
    )
    calls = hooks.calls("install")
    assert [call.retry for call in calls] == [0, 1, 2, 3]
    assert calls[0].elapsed == 0
    assert all(call.elapsed >= 1 for call in calls[1:])


def test_a_result_that_aws_has_not_heard_survives(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    from tests.support.faults import lost

    rule = cloud.on("update", lost(), state="complete_soft_restart")
    device = agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for(lambda: rule.hits)
    device.kill()
    device.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1"))[-1] == ("SUCCEEDED", "complete_soft_restart", "none")
    assert hooks.names().count("install") == 1
    wait_until(lambda: device.record() is None)

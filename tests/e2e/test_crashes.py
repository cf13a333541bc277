"""An agent that is killed, and what it takes up when it is started again."""

from __future__ import annotations

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.faults import lost
from tests.support.scripts import copy_file, hang, leave, show, wait_for_file, write
from tests.support.waiting import runs, wait_until


def test_an_installer_that_outlives_the_agent_is_waited_for(updates: Updates) -> None:
    """Two at a time would break the device; then it runs again, since nobody knows its result."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on)], [copy_file(updates.hooks.installed_file)])
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call("install")
    device.kill()
    device.start()
    device.wait_for_log("of an agent that was killed still runs")
    assert len(updates.hooks.calls("install")) == 1
    go_on.touch()
    updates.cloud.wait_for_end("job-1")
    first, second = updates.hooks.calls("install")
    assert (first.code, first.retry, second.code, second.retry) == (0, 0, 0, 1)
    assert updates.history()[-1] == SUCCEEDED[-1]


def test_an_installer_whose_environment_was_taken_away_is_found_as_well(updates: Updates) -> None:
    """As ``sudo`` does it."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on)], [copy_file(updates.hooks.installed_file)])
    updates.hooks.options["install"] = f"/usr/bin/env -i {updates.hooks.options['install']}"
    device = updates.start()
    updates.create()
    assert updates.hooks.wait_for_call("install").env == {}
    device.kill()
    device.start()
    device.wait_for_log("of an agent that was killed still runs")
    assert len(updates.hooks.calls("install")) == 1
    go_on.touch()
    updates.cloud.wait_for_end("job-1")
    assert [call.code for call in updates.hooks.calls("install")] == [0, 0]
    assert [path.name for path in device.directory.rglob("*.pid")] == [device.pidfile.name]


def test_a_restart_hook_that_outlives_the_agent_is_not_overtaken(updates: Updates) -> None:
    """Not by ``restart_timeout``, not by a second one, and not by the next job's installation."""
    hooks = updates.hooks
    go_on, done = hooks.directory / "go-on", hooks.directory / "done"
    hooks.restart([wait_for_file(go_on), hooks.become("2.0"), write(done, "")])
    # An answer from before the end that is heard after it would be worth a second restart.
    version = show(hooks.version_file)
    hooks.version(*[[version]] * 5, [wait_for_file(done), version])
    device = updates.start(hooks={"restart_timeout": 1, "restart_grace": 0})
    updates.create()
    updates.hooks.wait_for_call("restart")
    device.kill()
    device.start()
    updates.create("job-2", version="3.0")
    updates.hooks.wait_for_call("version", 6)
    assert updates.hooks.names().count("install") == 1
    assert updates.cloud.store.execution("job-1").status.value == "IN_PROGRESS"
    go_on.touch()
    assert updates.end()[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert updates.hooks.names()[:5] == ["version", "download", "install", "restart", "version"]
    updates.cloud.wait_for_end("job-2")


def test_other_hooks_are_ended_and_run_again(updates: Updates) -> None:
    updates.hooks.ready([hang()], [])
    device = updates.start()
    updates.create()
    first = updates.hooks.wait_for_call("ready")
    device.kill()
    device.start()
    updates.cloud.wait_for_end("job-1")
    wait_until(lambda: not runs(first.pid))
    assert updates.hooks.calls("ready")[1].retry == 1
    assert updates.history()[-1] == ("SUCCEEDED", "complete_ready", "none")


def test_retries_and_time_go_on(updates: Updates) -> None:
    """``max_retries`` bounds what it says, whatever happens to the agent."""
    updates.hooks.install([leave(3)])
    device = updates.start(hooks={"max_retries": 4, "retry_interval": 1})
    updates.create()
    for count in (2, 3):
        wait_until(lambda: [call.code for call in updates.hooks.calls("install")].count(3) >= count)  # noqa: B023
        device.kill()
        device.start()
    assert updates.end()[-1] == (
        "FAILED",
        "installation_hook_failed",
        "Timeout after 4s",
    )
    calls = updates.hooks.calls("install")
    assert [call.retry for call in calls] == [0, 1, 2, 3]
    assert calls[0].elapsed == 0
    assert all(call.elapsed >= 1 for call in calls[1:])


def test_a_result_that_aws_has_not_heard_survives(updates: Updates) -> None:
    rule = updates.cloud.on("update", lost(), state="complete_soft_restart")
    device = updates.start()
    updates.create()
    updates.cloud.wait_for(lambda: rule.hits)
    device.kill()
    device.start()
    assert updates.end()[-1] == SUCCEEDED[-1]
    assert updates.hooks.names().count("install") == 1
    wait_until(lambda: device.record() is None)

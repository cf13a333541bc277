"""A failed installation that is taken back, and the hooks before and after a job."""

from __future__ import annotations

import pytest

from tests.e2e.updates import INSTALLING, RESTARTING, STARTED, SUCCEEDED, Updates, asks_for_the_end
from tests.simulator import faults
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import complain, hang, leave, say, show, wait_for_file
from tests.support.waiting import PATIENCE
from upparat.machine.model import OTHERS

FAILED = ("FAILED", "ready_hook_failed", "Exit code: 1")
TAKEN_BACK = [
    STARTED,
    INSTALLING,
    RESTARTING,
    ("IN_PROGRESS", "rollback_start", "ready_hook_failed: Exit code: 1"),
    FAILED,
]


@pytest.fixture
def broken(updates: Updates) -> Updates:
    """Version 2.0 does not work, and the rollback hook knows the way back."""
    hooks = updates.hooks
    hooks.ready([complain("no light"), leave(1)])
    hooks.restart([hooks.become("2.0")], [hooks.become("1.0")])
    hooks.set("rollback", [say("restart")])
    return updates


def test_back_to_the_old_version(broken: Updates) -> None:
    assert broken.run() == TAKEN_BACK
    assert broken.names() == [
        "version",
        "download",
        "install",
        "restart",
        "version",
        "ready",
        "rollback",
        "restart",
        "version",
    ]
    details = broken.cloud.updates("job-1")[-1].details
    assert (details["rollback"], details["running"], details["from"]) == ("done", "1.0", "1.0")
    assert (details["hook"], details["exit_code"], details["stderr"]) == ("ready", "1", "no light")
    [call] = broken.calls(hook="rollback")
    assert call.argv[3] == call.env["UPPARAT_FAILED_STATE"] == "ready_hook_failed"
    assert call.env["UPPARAT_REASON"] == "Exit code: 1"
    broken.hooks.ready([])
    assert broken.run("job-2", version="1.0")[-1][1] == "version_already_installed"


def test_by_reboots(broken: Updates) -> None:
    """The device goes down in the restart hook, both times."""
    hooks = broken.hooks
    hooks.restart(
        [hooks.become("2.0"), hooks.kill_agent()], [hooks.become("1.0"), hooks.kill_agent()]
    )
    broken.start(reboots=True, supervised=True)
    assert broken.run() == TAKEN_BACK
    assert broken.cloud.updates("job-1")[-1].details["running"] == "1.0"
    assert broken.names().count("rollback") == 1


def test_without_a_restart(updates: Updates) -> None:
    updates.hooks.install([leave(7)])
    updates.hooks.set("rollback", [])
    assert updates.run() == [
        STARTED,
        INSTALLING,
        ("IN_PROGRESS", "rollback_start", "installation_hook_failed: Exit code: 7"),
        ("FAILED", "installation_hook_failed", "Exit code: 7"),
    ]
    assert updates.names() == ["version", "download", "install", "rollback", "version"]
    assert updates.cloud.updates("job-1")[-1].details["rollback"] == "done"


def test_a_rollback_that_fails(broken: Updates) -> None:
    broken.hooks.set("rollback", [leave(3)], [leave(9)])
    assert broken.run() == TAKEN_BACK
    details = broken.cloud.updates("job-1")[-1].details
    assert (details["rollback"], details["running"]) == ("failed", "2.0")
    assert [call.retry for call in broken.calls(hook="rollback")] == [0, 1]


def test_without_the_hook(updates: Updates) -> None:
    updates.hooks.ready([leave(1)])
    assert updates.run()[-1] == FAILED
    assert updates.cloud.updates("job-1")[-1].details["rollback"] == "none"


def test_what_failed_before_the_installation(updates: Updates) -> None:
    updates.hooks.download([leave(1)])
    updates.hooks.set("rollback", [])
    updates.run()
    assert "rollback" not in updates.names()
    assert "rollback" not in updates.cloud.updates("job-1")[-1].details


@pytest.mark.parametrize("what", ["document", "server"])
def test_a_begun_installation_whose_file_is_gone(what: str, updates: Updates) -> None:
    """The power fails in the install hook, and the file has to be fetched again."""
    hooks, file = updates.hooks, updates.file
    hooks.set("rollback", [])
    hooks.install([hang()])
    gone: list[str] = []
    unfilled = "${aws:iot:s3-presigned-url:https://s3.test/bucket/firmware}"
    url = f"{file.url}?X-Amz-Signature=secret-1"
    device = updates.start()
    updates.create(file=lambda: unfilled if "document" in gone else url)
    hooks.wait_for_call("install")
    device.power_cut()
    for each in (device.directory / "downloads").rglob("job-1*"):
        each.unlink()
    gone.append(what)
    if what == "server":
        file.status(404, times=-1)
    device.start()
    end = updates.end()[-1]
    assert end[:2] == ("FAILED", "download_failed")
    assert ("404" if what == "server" else "file: ") in end[2]
    [call] = updates.calls(hook="rollback")
    assert call.argv[3] == "download_failed"
    assert updates.cloud.updates("job-1")[-1].details["rollback"] == "done"


def test_a_repaired_version_that_is_taken_back(broken: Updates) -> None:
    """2.0 has run before, as far as anybody knows: that it runs says nothing of the rollback."""
    hooks = broken.hooks
    hooks.version_file.write_text("2.0")
    hooks.restart([])
    assert broken.run(force=True)[-1] == FAILED
    assert broken.cloud.updates("job-1")[-1].details["rollback"] == "unknown"


def test_a_success_in_doubt_and_a_version_hook_that_fails(
    updates: Updates, broker: Mosquitto
) -> None:
    """AWS has not heard of it, and the agent starts anew: one failure of the hook is none of the
    installation."""
    hooks = updates.hooks
    go = hooks.directory / "go"
    hooks.set("rollback", [])
    hooks.ready([wait_for_file(go)])
    device = updates.start(hooks={"restart_timeout": PATIENCE})
    updates.create()
    hooks.wait_for_call("ready")
    broker.stop()
    go.touch()
    device.wait_until_it_owes()
    device.kill()
    hooks.version([leave(1)], [show(hooks.version_file)])
    broker.start()
    device.start()
    assert updates.end()[-1] == SUCCEEDED[-1]
    assert 1 in [call.code for call in hooks.calls("version")]
    assert "rollback" not in hooks.names()


def test_a_rollback_that_outlives_the_agent_is_waited_for(broken: Updates) -> None:
    go_on = broken.hooks.directory / "go-on"
    broken.hooks.set("rollback", [wait_for_file(go_on)], [say("restart")])
    device = broken.start()
    broken.create()
    broken.hooks.wait_for_call("rollback")
    device.kill()
    device.start()
    device.wait_for_log("of an agent that was killed still runs")
    go_on.touch()
    assert broken.end() == TAKEN_BACK
    first, second = broken.calls(hook="rollback")
    assert (first.code, second.code) == (0, 0)
    assert broken.cloud.updates("job-1")[-1].details["running"] == "1.0"


def test_a_power_cut_in_the_rollback(broken: Updates) -> None:
    go_on = broken.hooks.directory / "go-on"
    broken.hooks.set("rollback", [wait_for_file(go_on)], [say("restart")])
    device = broken.start()
    broken.create()
    broken.hooks.wait_for_call("rollback")
    device.power_cut()
    device.start()
    assert broken.end() == TAKEN_BACK
    assert "install" not in broken.names()[3:]


def test_cancelled_after_the_restart(broken: Updates) -> None:
    """Nobody hears of it, and the device goes back."""
    go_on = broken.hooks.directory / "go-on"
    broken.hooks.ready([wait_for_file(go_on)])
    broken.hooks.set("cleanup", [])
    broken.start(hooks={"restart_grace": 0})
    broken.create()
    broken.hooks.wait_for_call("ready")
    broken.cloud.cancel("job-1", force=True)
    call = broken.hooks.wait_for_call("rollback")
    assert call.argv[3] == OTHERS
    cleanup = broken.hooks.wait_for_call("cleanup")
    assert (cleanup.argv[3], cleanup.env["UPPARAT_STATE"]) == (OTHERS, OTHERS)
    assert broken.hooks.version_file.read_text() == "1.0"
    assert broken.history()[-1] == RESTARTING


def test_cancelled_while_the_device_was_away(broken: Updates) -> None:
    broken.hooks.ready([wait_for_file(broken.hooks.directory / "never")])
    device = broken.start(hooks={"restart_grace": 0})
    broken.create()
    broken.hooks.wait_for_call("ready")
    device.power_cut()
    broken.cloud.cancel("job-1", force=True)
    device.start()
    broken.hooks.wait_for_call("rollback")
    assert broken.run("job-2", version="1.0")[-1][1] == "version_already_installed"
    assert broken.calls(hook="rollback")[0].env["UPPARAT_VERSION"] == "2.0"


def test_tidying_up(updates: Updates) -> None:
    """After each end; its failure changes nothing."""
    updates.hooks.set("cleanup", [leave(1)], [])
    device = updates.start()
    assert updates.run() == SUCCEEDED
    first = updates.hooks.wait_for_call("cleanup")
    assert (first.argv[3], first.env["UPPARAT_STATE"]) == ("complete_soft_restart",) * 2
    device.wait_for_log("cleanup hook: Exit code: 1")
    updates.hooks.download([leave(1)])
    updates.run("job-2", version="3.0")
    second = updates.hooks.wait_for_call("cleanup", 2)
    assert (second.argv[3], second.env["UPPARAT_REASON"]) == (
        "download_hook_failed",
        "Exit code: 1",
    )


def test_a_power_cut_while_tidying_up(updates: Updates) -> None:
    """It begins again, before anything else."""
    updates.hooks.set("cleanup", [wait_for_file(updates.hooks.directory / "never")], [])
    device = updates.start()
    assert updates.run() == SUCCEEDED
    updates.hooks.wait_for_call("cleanup")
    device.power_cut()
    device.start()
    assert updates.run("job-2")[-1][1] == "version_already_installed"
    updates.hooks.wait_for_call("cleanup", 3)
    jobs = [call.env["UPPARAT_JOB_ID"] for call in updates.hooks.calls("cleanup")]
    assert jobs == ["job-1", "job-1", "job-2"]


def test_not_for_this_device(updates: Updates) -> None:
    updates.hooks.set("check", [leave(3)], [say("only for board B"), leave(1)])
    assert updates.run() == [("FAILED", "incompatible", "only for board B")]
    assert updates.names() == ["version", "check", "check"]
    updates.hooks.set("check", [])
    assert updates.run("job-2") == SUCCEEDED
    assert updates.names("job-2")[:3] == ["version", "check", "download"]


def test_a_job_that_another_one_has_displaced(updates: Updates) -> None:
    """AWS does not describe it at the start, and the next job installs another version."""
    hooks = updates.hooks
    go = hooks.directory / "go"
    hooks.ready([wait_for_file(go)], [])
    hooks.set("rollback", [hooks.become("1.0")])
    device = updates.start()
    updates.create()
    hooks.wait_for_call("ready")
    device.power_cut()
    hooks.restart([hooks.become("3.0")])
    updates.create("job-2", version="3.0")
    updates.cloud.on("describe", faults.rejected("InvalidRequest"), 1, job_id="job-1")
    device.start()
    assert updates.end("job-2")[-1] == SUCCEEDED[-1]
    assert updates.end()[-1][:2] == ("FAILED", "version_mismatch")
    assert updates.cloud.updates("job-1")[-1].details["rollback"] == "none"
    assert hooks.version_file.read_text() == "3.0"
    assert "rollback" not in hooks.names()


@pytest.mark.parametrize("how", ["invalid", "not downloaded"])
def test_a_job_that_another_one_has_not_displaced(how: str, updates: Updates) -> None:
    """The next job begins, and installs nothing."""
    hooks = updates.hooks
    hooks.ready([wait_for_file(hooks.directory / "never")], [leave(1)])
    hooks.set("rollback", [hooks.become("1.0")])
    device = updates.start()
    updates.create()
    hooks.wait_for_call("ready")
    device.power_cut()
    if how == "invalid":
        updates.cloud.create_job("job-2", {"action": "upparat-update", "version": 5})
    else:
        hooks.download([leave(1)])
        updates.create("job-2", version="3.0")
    updates.cloud.on("describe", faults.rejected("InvalidRequest"), 1, job_id="job-1")
    device.start()
    assert updates.end()[-1] == FAILED
    assert updates.cloud.updates("job-1")[-1].details["rollback"] == "done"
    assert hooks.version_file.read_text() == "1.0"


def test_a_success_confirms_no_other_version(updates: Updates) -> None:
    """AWS has heard of the success of 2.0, and its answer is lost. 1.5 had failed before."""
    hooks = updates.hooks
    go = hooks.directory / "go"
    hooks.ready([leave(1)], [wait_for_file(go)], [leave(1)])
    hooks.restart([hooks.become("1.5")], [hooks.become("2.0")], [hooks.become("1.5")])
    device = updates.start()
    assert updates.run("job-0", version="1.5")[-1] == FAILED
    updates.create()
    hooks.wait_for_call("ready", 2)
    updates.cloud.on("update", faults.dropped(), state="complete_soft_restart")
    go.touch()
    assert updates.end()[-1] == SUCCEEDED[-1]
    device.kill()
    device.start()
    device.wait_for_log("-> monitor", after="it has ended meanwhile")
    hooks.version_file.write_text("1.5")
    assert updates.run("job-2", version="1.5")[-1] == FAILED


def test_cancelled_while_the_device_was_away_and_aws_is_busy(updates: Updates) -> None:
    """How it has ended is asked until AWS says so, though another job waits."""
    hooks = updates.hooks
    hooks.ready([wait_for_file(hooks.directory / "never")])
    hooks.set("rollback", [hooks.become("1.0")])
    device = updates.start()
    updates.create()
    hooks.wait_for_call("ready")
    device.power_cut()
    updates.cloud.cancel("job-1", force=True)
    hooks.download([leave(1)])
    updates.create("job-2", version="3.0")
    updates.cloud.on("update", faults.throttled(), times=2, where=asks_for_the_end)
    device.start()
    assert updates.end("job-2")[-1][1] == "download_hook_failed"
    assert hooks.version_file.read_text() == "1.0"
    assert [call.env["UPPARAT_JOB_ID"] for call in hooks.calls("rollback")] == ["job-1"]

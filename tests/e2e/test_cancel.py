"""A job that others end while the device works on it: nothing follows, and the next job runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.updates import Updates
from tests.simulator.cloud import Cloud
from tests.support.agent import Agent
from tests.support.scripts import copy_file, hang, leave, show, wait_for_file
from upparat.job import Status

CANCELLED = "ended by others"


def the_next_job_runs(updates: Updates) -> None:
    """A job that the device need not install shows that it is free for the next."""
    updates.run("job-2", version="1.0")
    assert updates.cloud.history("job-2") == [("SUCCEEDED", "version_already_installed", "none")]


def cancel(updates: Updates, device: Agent) -> None:
    updates.cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)


def no_file_left(device: Agent) -> bool:
    return [path for path in (device.directory / "downloads").rglob("*") if path.is_file()] == []


def test_while_a_hook_runs_before_the_download(updates: Updates) -> None:
    """The hook is ended: nothing depends on it."""
    updates.hooks.version([hang()], [show(updates.hooks.version_file)])
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call("version")
    cancel(updates, device)
    the_next_job_runs(updates)
    assert updates.cloud.history("job-1") == []
    assert "install" not in updates.hooks.names()


def test_while_a_hook_waits_for_its_next_try(updates: Updates) -> None:
    updates.hooks.install([leave(3)])
    device = updates.start(hooks={"retry_interval": 600})
    updates.create()
    device.wait_for_log("install hook: again in")
    cancel(updates, device)
    the_next_job_runs(updates)
    assert len(updates.hooks.calls("install")) == 1


def test_while_the_file_is_downloaded(updates: Updates) -> None:
    device = updates.stand_still()
    cancel(updates, device)
    updates.file.release()
    the_next_job_runs(updates)
    assert no_file_left(device)
    assert "install" not in updates.hooks.names()


@pytest.mark.parametrize(
    ("hook", "history"),
    [
        ("install", ["download_start", "installation_start"]),
        ("restart", ["download_start", "installation_start", "reboot_start"]),
    ],
)
def test_while_a_hook_runs_that_must_not_be_killed(
    hook: str, history: list[str], updates: Updates
) -> None:
    """A flasher is left to finish, with its file, and nothing follows from its result."""
    go_on = updates.hooks.directory / "go-on"
    steps_ = [wait_for_file(go_on)]
    updates.hooks.set(
        hook, [*steps_, copy_file(updates.hooks.installed_file)] if hook == "install" else steps_
    )
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call(hook)
    updates.cloud.wait_for_state("job-1", history[-1])
    cancel(updates, device)
    updates.create("job-2", version="1.0")
    assert updates.cloud.execution("job-2").status is Status.QUEUED
    go_on.touch()
    updates.cloud.wait_for_end("job-2")
    assert updates.hooks.calls(hook)[0].code == 0
    assert [state for _, state, _ in updates.history()] == history
    assert updates.installed == updates.file.content
    assert no_file_left(device)


def test_the_agent_is_killed_while_it_waits_for_such_a_hook(updates: Updates) -> None:
    """The file goes all the same."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on)])
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call("install")
    cancel(updates, device)
    device.kill()
    go_on.touch()
    device.start()
    the_next_job_runs(updates)
    assert no_file_left(device)
    assert len(updates.hooks.calls("install")) == 1


def test_kill_on_cancel(updates: Updates) -> None:
    updates.hooks.install([hang()])
    device = updates.start(hooks={"kill_on_cancel": "yes"})
    updates.create()
    updates.hooks.wait_for_call("install")
    cancel(updates, device)
    the_next_job_runs(updates)
    assert updates.hooks.calls("install")[0].code is None


def test_while_the_device_waits_whether_it_goes_down(updates: Updates) -> None:
    """Nothing begins until it is known whether the device goes down."""
    device = updates.start(hooks={"restart_grace": 3})
    updates.create()
    device.wait_for_log("restart hook done")
    cancel(updates, device)
    updates.hooks.version_file.write_text("1.0")
    updates.create("job-2", version="1.0")
    device.wait_for_log("restart -> wind_down")
    assert updates.cloud.execution("job-2").status is Status.QUEUED
    updates.cloud.wait_for_end("job-2")
    log = device.log
    assert log.index("wind_down -> cleanup") < log.rindex("select_job -> verify_job")


def test_while_the_installation_is_verified(updates: Updates) -> None:
    updates.hooks.ready([hang()])
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call("ready")
    cancel(updates, device)
    updates.hooks.version_file.write_text("1.0")
    the_next_job_runs(updates)
    assert updates.cloud.execution("job-1").status is Status.CANCELED


ENDS: list[Callable[[Cloud], object]] = [
    lambda cloud: cloud.delete("job-1", force=True),
    lambda cloud: cloud.time_out("job-1"),
]


@pytest.mark.parametrize("end", ENDS, ids=["deleted", "timed out"])
def test_other_ends(end: Callable[[Cloud], object], updates: Updates) -> None:
    device = updates.stand_still()
    end(updates.cloud)
    device.wait_for_log(CANCELLED)
    the_next_job_runs(updates)
    assert "install" not in updates.hooks.names()


def test_timed_out_and_queued_again_by_aws(updates: Updates) -> None:
    """The new execution of the same job is another piece of work, from its start."""
    device = updates.stand_still()
    updates.cloud.time_out("job-1")
    updates.cloud.retry("job-1")
    device.wait_for_log(CANCELLED)
    updates.cloud.wait_for(lambda: updates.cloud.execution("job-1").status is Status.SUCCEEDED)
    assert updates.cloud.execution("job-1").number == 2
    assert updates.hooks.names().count("install") == 1


def test_not_in_the_list_is_not_cancelled(updates: Updates) -> None:
    """A maintenance window hides what is still there."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.download([wait_for_file(go_on)])
    updates.start()
    updates.create()
    updates.hooks.wait_for_call("download")
    described = len(updates.cloud.asked("describe"))
    updates.cloud.hide("job-1")
    updates.cloud.wait_for(lambda: len(updates.cloud.asked("describe")) > described)
    go_on.touch()
    assert updates.cloud.wait_for_end("job-1").status is Status.SUCCEEDED


def test_cancelled_while_the_agent_was_away(updates: Updates) -> None:
    device = updates.stand_still()
    device.kill()
    updates.file.release()
    updates.cloud.cancel("job-1", force=True)
    device.start()
    the_next_job_runs(updates)
    assert "install" not in updates.hooks.names()

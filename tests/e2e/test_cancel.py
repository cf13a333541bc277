"""A job that others end while the device works on it: nothing follows, and the next job runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.agent import Agent
from tests.support.cloud import Cloud
from tests.support.files import File
from tests.support.scripts import Hooks, copy_file, hang, leave, wait_for_file
from upparat.job import Status

CANCELLED = "ended by others"


def the_next_job_runs(cloud: Cloud, document: dict[str, object]) -> None:
    """A job that the device need not install shows that it is free for the next."""
    cloud.create_job("job-2", {**document, "version": "1.0"})
    cloud.wait_for_end("job-2")
    assert cloud.history("job-2") == [("SUCCEEDED", "version_already_installed", "none")]


def no_file_left(device: Agent) -> bool:
    return [path for path in (device.directory / "downloads").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("hook", ["version", "download"])
def test_while_a_hook_runs_before_the_download(
    hook: str,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """The hook is ended: nothing depends on it."""
    last = [["show", str(hooks.version_file)]] if hook == "version" else [leave(0)]
    hooks.set(hook, [hang()], last)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call(hook)
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    the_next_job_runs(cloud, document(firmware))
    assert cloud.history("job-1") == []
    assert "install" not in hooks.names()


@pytest.mark.parametrize("hook", ["version", "download", "install", "restart", "ready"])
def test_while_a_hook_waits_for_its_next_try(
    hook: str,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    last = [["show", str(hooks.version_file)]] if hook == "version" else [leave(0)]
    hooks.set(hook, [leave(3)], last)
    device = agent(hooks={"retry_interval": 600})
    cloud.create_job("job-1", document(firmware))
    device.wait_for_log(f"{hook} hook: again in")
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    hooks.version_file.write_text("1.0")
    the_next_job_runs(cloud, document(firmware))
    assert [call.hook for call in hooks.calls() if call.hook == hook] == (
        [hook, hook] if hook == "version" else [hook]
    )


def test_while_the_file_is_downloaded(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.stall(50_000)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    assert firmware.stalled.wait(30)
    cloud.wait_for_state("job-1", "download_start")
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    firmware.release()
    the_next_job_runs(cloud, document(firmware))
    assert no_file_left(device)
    assert "install" not in hooks.names()


@pytest.mark.parametrize(
    ("hook", "history"),
    [
        ("install", ["download_start", "installation_start"]),
        ("restart", ["download_start", "installation_start", "reboot_start"]),
    ],
)
def test_while_a_hook_runs_that_must_not_be_killed(
    hook: str,
    history: list[str],
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """A flasher is left to finish, with its file, and nothing follows from its result."""
    go_on = hooks.directory / "go-on"
    steps_ = [wait_for_file(go_on)]
    hooks.set(hook, [*steps_, copy_file(hooks.installed_file)] if hook == "install" else steps_)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call(hook)
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    cloud.create_job("job-2", {**document(firmware), "version": "1.0"})
    assert cloud.execution("job-2").status is Status.QUEUED
    go_on.touch()
    cloud.wait_for_end("job-2")
    assert hooks.calls(hook)[0].code == 0
    assert [state for _, state, _ in steps(cloud.history("job-1"))] == history
    assert hooks.installed_file.read_bytes() == firmware.content
    assert no_file_left(device)


def test_kill_on_cancel(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.install([hang()])
    device = agent(hooks={"kill_on_cancel": "yes"})
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call("install")
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    the_next_job_runs(cloud, document(firmware))
    assert hooks.calls("install")[0].code is None


def test_while_the_device_waits_whether_it_goes_down(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    device = agent(hooks={"restart_grace": 600, "restart_timeout": 900})
    cloud.create_job("job-1", document(firmware))
    device.wait_for_log("restart hook done")
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    hooks.version_file.write_text("1.0")
    the_next_job_runs(cloud, document(firmware))


def test_while_the_installation_is_verified(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    hooks.ready([hang()])
    device = agent()
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call("ready")
    cloud.cancel("job-1", force=True)
    device.wait_for_log(CANCELLED)
    hooks.version_file.write_text("1.0")
    the_next_job_runs(cloud, document(firmware))
    assert cloud.execution("job-1").status is Status.CANCELED


ENDS: list[Callable[[Cloud], object]] = [
    lambda cloud: cloud.delete("job-1", force=True),
    lambda cloud: cloud.time_out("job-1"),
]


@pytest.mark.parametrize("end", ENDS, ids=["deleted", "timed out"])
def test_other_ends(
    end: Callable[[Cloud], object],
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    firmware.stall(50_000)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_state("job-1", "download_start")
    assert firmware.stalled.wait(30)
    end(cloud)
    device.wait_for_log(CANCELLED)
    the_next_job_runs(cloud, document(firmware))
    assert "install" not in hooks.names()


def test_timed_out_and_queued_again_by_aws(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """The new execution of the same job is another piece of work, from its start."""
    firmware.stall(50_000)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_state("job-1", "download_start")
    assert firmware.stalled.wait(30)
    cloud.time_out("job-1")
    cloud.retry("job-1")
    device.wait_for_log(CANCELLED)
    cloud.wait_for(lambda: cloud.execution("job-1").status is Status.SUCCEEDED)
    assert cloud.execution("job-1").number == 2
    assert hooks.names().count("install") == 1


def test_not_in_the_list_is_not_cancelled(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """A maintenance window hides what is still there."""
    go_on = hooks.directory / "go-on"
    hooks.download([wait_for_file(go_on)])
    agent()
    cloud.create_job("job-1", document(firmware))
    hooks.wait_for_call("download")
    described = len(cloud.asked("describe"))
    cloud.hide("job-1")
    cloud.wait_for(lambda: len(cloud.asked("describe")) > described)
    go_on.touch()
    assert cloud.wait_for_end("job-1").status is Status.SUCCEEDED


def test_cancelled_while_the_agent_was_away(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.stall(50_000)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_state("job-1", "download_start")
    assert firmware.stalled.wait(30)
    device.kill()
    firmware.release()
    cloud.cancel("job-1", force=True)
    device.start()
    the_next_job_runs(cloud, document(firmware))
    assert "install" not in hooks.names()

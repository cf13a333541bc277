"""Hooks that ask for another try, fail, or do not end, and the job that comes next."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import (
    ALL_CALLS,
    META,
    POINTS,
    SUCCEEDED,
    Point,
    Updates,
    environment,
    nothing_secret_is_logged,
)
from tests.support.agent import marked
from tests.support.scripts import fork, hang, leave, show, wait_for_file
from tests.support.waiting import runs

DOWNLOAD, INSTALL = POINTS[1:3]
everywhere = pytest.mark.parametrize(
    "point", POINTS, ids=["version", "download", "install", "restart", "version-after", "ready"]
)


@pytest.fixture(autouse=True)
def _no_secrets(tmp_path: Path) -> Iterator[None]:
    with nothing_secret_is_logged(tmp_path / "agent"):
        yield


def the_next_job_runs(updates: Updates) -> None:
    updates.hooks.version_file.write_text("1.0")
    updates.hooks.standard()
    assert updates.run("job-next") == SUCCEEDED
    assert updates.names("job-next") == ALL_CALLS


# --- another try ---


@pytest.mark.long
def test_each_hook_asks_for_another_try_twice(updates: Updates) -> None:
    """Two more tries are the last ones that ``max_retries`` allows."""
    hooks = updates.hooks
    again = [[leave(3)], [leave(3)]]
    hooks.version(*again, [show(hooks.version_file)], *again, [show(hooks.version_file)])
    hooks.download(*again, [])
    hooks.install(*again, [])
    hooks.restart(*again, [hooks.become("2.0")])
    hooks.ready(*again, [])
    device = updates.start(hooks={"retry_interval": 0.5, "max_retries": 3})
    assert updates.run() == SUCCEEDED
    calls = updates.calls()
    assert [call.hook for call in calls] == [hook for hook in ALL_CALLS for _ in range(3)]
    assert [call.argv[1:3] for call in calls] == [["0", META], ["1", META], ["2", META]] * 6
    assert [call.env for call in calls] == [environment(call, device) for call in calls]
    assert [call.code for call in calls] == [3, 3, 0] * 6
    assert [call.elapsed for call in calls[::3]] == [0] * 6
    assert all(call.elapsed >= 1 for call in calls[2::3])
    assert {len(call.argv) for call in calls} == {3, 4}


# --- failures ---


@everywhere
def test_failure(point: Point, updates: Updates) -> None:
    """With an exit code, at the second try."""
    updates.start(hooks={"retry_interval": 0.1, "max_retries": 2})
    point.plan(updates.hooks, [leave(3)], [leave(255)])
    assert updates.run() == point.failure("Exit code: 255")
    assert updates.names() == [*point.called, point.hook, point.hook]
    assert [call.argv[1] for call in updates.calls()[-2:]] == ["0", "1"]
    the_next_job_runs(updates)


def test_a_hook_that_asks_for_another_try_for_ever(updates: Updates) -> None:
    updates.start(hooks={"retry_interval": 0.1, "max_retries": 2})
    updates.hooks.install([leave(3)])
    assert updates.run() == INSTALL.failure("Timeout after 0.2s")
    assert updates.names() == [*INSTALL.called, "install", "install"]


def test_killed_by_a_signal(updates: Updates) -> None:
    updates.hooks.install([hang()])
    updates.start()
    updates.create()
    os.kill(updates.hooks.wait_for_call("install").pid, signal.SIGKILL)
    assert updates.end() == INSTALL.failure("Killed by signal 9 (SIGKILL)")
    assert updates.names() == [*INSTALL.called, "install"]
    the_next_job_runs(updates)


# --- what cannot be executed ---


def no_shebang(path: Path) -> None:
    path.write_text("exit 0\n")


def no_interpreter(path: Path) -> None:
    path.write_text("#!/no/such/interpreter\n")


def no_permission(path: Path) -> None:
    path.chmod(0o600)


def no_file(path: Path) -> None:
    path.unlink()


DAMAGES: dict[Callable[[Path], None], str] = {
    no_shebang: "Exec format error",
    no_interpreter: "the interpreter that {} names was not found",
    no_permission: "Permission denied",
    no_file: "No such file or directory",
}


def test_cannot_be_executed(updates: Updates) -> None:
    """The configuration was right when the agent was started."""
    updates.start()
    path = updates.hooks.directory / "download"
    for number, (damage, reason) in enumerate(DAMAGES.items()):
        job_id = f"job-{number}"
        updates.hooks.standard()
        damage(path)
        history = updates.run(job_id)
        assert history == DOWNLOAD.failure(f"cannot be executed: {reason.format(path)}")
        assert updates.names(job_id) == list(DOWNLOAD.called)
    the_next_job_runs(updates)


# --- hooks that do not end ---


def test_time_out(updates: Updates) -> None:
    """The hook is ended with all that belongs to it, and not tried again."""
    device = updates.start(hooks={"timeout_install": 1})
    updates.hooks.install([fork(hang()), hang()])
    history = updates.run()
    assert set(marked(device.directory)) <= {device.pid}
    assert history == INSTALL.failure("Timed out after 1s and was ended")
    assert updates.names() == [*INSTALL.called, "install"]
    the_next_job_runs(updates)


def test_time_out_of_all_hooks(updates: Updates) -> None:
    updates.hooks.download([hang()])
    updates.start(hooks={"timeout": 1, "timeout_version": 600})
    message = "Timed out after 1s and was ended"
    assert updates.run() == [("FAILED", "download_hook_failed", message)]


def test_time_out_of_a_hook_that_tidies_up(updates: Updates, tmp_path: Path) -> None:
    """SIGTERM comes first; what the hook makes of it does not save the job."""
    tidied = tmp_path / "tidied"
    hook = updates.hooks.directory / "install"
    hook.write_text(f"#!/bin/sh\ntrap 'echo tidied >> {tidied}; exit 0' TERM\nsleep 3600 & wait\n")
    device = updates.start(hooks={"timeout_install": 1})
    history = updates.run()
    assert set(marked(device.directory)) <= {device.pid}
    assert history == INSTALL.failure("Timed out after 1s and was ended")
    assert tidied.read_text() == "tidied\n"
    assert updates.names() == ["version", "download"]


def test_a_child_in_the_background_holds_nothing_up(updates: Updates, tmp_path: Path) -> None:
    """Each hook leaves one that keeps its stdout open."""
    hooks, over = updates.hooks, tmp_path / "over"
    child = fork(wait_for_file(over))
    hooks.version([child, show(hooks.version_file)])
    hooks.download([child])
    hooks.install([child])
    hooks.restart([child, hooks.become("2.0")])
    hooks.ready([child])
    device = updates.start()
    try:
        assert updates.run() == SUCCEEDED
        assert updates.names() == ALL_CALLS
        assert len([pid for pid in marked(device.directory) if pid != device.pid]) == 6
        assert not any(runs(call.pid) for call in updates.calls())
    finally:
        over.touch()

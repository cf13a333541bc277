"""Hooks that ask for another try, fail, or do not end, and the job that comes next."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
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
from tests.support.scripts import Hooks, fork, hang, ignore, leave, show, wait_for_file
from tests.support.waiting import runs

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


def asks_again_for_ever(point: Point, hooks: Hooks) -> str:
    point.plan(hooks, [leave(3)])
    return "Timeout after 0.2s"


def fails(point: Point, hooks: Hooks) -> str:
    point.plan(hooks, [leave(1)])
    return "Exit code: 1"


def fails_at_its_second_try(point: Point, hooks: Hooks) -> str:
    point.plan(hooks, [leave(3)], [leave(255)])
    return "Exit code: 255"


@everywhere
def test_failure(point: Point, updates: Updates) -> None:
    updates.start(hooks={"retry_interval": 0.1, "max_retries": 2})
    failures: list[tuple[Callable[[Point, Hooks], str], int]] = [
        (asks_again_for_ever, 2),
        (fails, 1),
        (fails_at_its_second_try, 2),
    ]
    for number, (failing, tries) in enumerate(failures):
        job_id = f"job-{number}"
        updates.hooks.version_file.write_text("1.0")
        message = failing(point, updates.hooks)
        assert updates.run(job_id) == point.failure(message)
        assert updates.names(job_id) == [*point.called, *[point.hook] * tries]
        assert [call.argv[1] for call in updates.calls(job_id)[-tries:]] == ["0", "1"][:tries]
    the_next_job_runs(updates)


@everywhere
def test_killed_by_a_signal(point: Point, updates: Updates) -> None:
    updates.start()
    point.plan(updates.hooks, [hang()])
    updates.create()
    call = updates.hooks.wait_for_call(point.hook, 2 if point.after_restart else 1)
    os.kill(call.pid, signal.SIGKILL)
    assert updates.end() == point.failure("Killed by signal 9 (SIGKILL)")
    assert updates.names() == [*point.called, point.hook]
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


@everywhere
def test_cannot_be_executed(point: Point, updates: Updates) -> None:
    """The configuration was right when the agent was started."""
    updates.start()
    path = updates.hooks.directory / point.hook
    for number, (damage, reason) in enumerate(DAMAGES.items()):
        job_id = f"job-{number}"
        updates.hooks.standard()
        updates.hooks.version_file.write_text("1.0")
        if point.after_restart:
            updates.cloud.when(job_id, "reboot_start", partial(damage, path))
        else:
            damage(path)
        history = updates.run(job_id)
        assert history == point.failure(f"cannot be executed: {reason.format(path)}")
        assert updates.names(job_id) == list(point.called)
    the_next_job_runs(updates)


# --- hooks that do not end ---


@everywhere
def test_time_out(point: Point, updates: Updates) -> None:
    """The hook is ended with all that belongs to it, and not tried again."""
    device = updates.start(hooks={f"timeout_{point.hook}": 2})
    point.plan(updates.hooks, [fork(hang()), hang()])
    history = updates.run()
    assert marked(device.directory) == [device.pid]
    assert history == point.failure("Timed out after 2s and was ended")
    assert updates.names() == [*point.called, point.hook]
    the_next_job_runs(updates)


def test_time_out_of_all_hooks(updates: Updates) -> None:
    updates.hooks.download([hang()])
    updates.start(hooks={"timeout": 2.5, "timeout_version": 600})
    message = "Timed out after 2.5s and was ended"
    assert updates.run() == [("FAILED", "download_hook_failed", message)]


def test_time_out_of_a_hook_that_does_not_care(updates: Updates) -> None:
    """SIGKILL follows, for its children too."""
    stubborn = [ignore(signal.SIGTERM), fork(hang()), hang()]
    updates.hooks.install(stubborn)
    device = updates.start(hooks={"timeout_install": 2})
    history = updates.run()
    assert marked(device.directory) == [device.pid]
    assert history == POINTS[2].failure("Timed out after 2s and was ended")
    assert updates.names() == ["version", "download", "install"]
    the_next_job_runs(updates)


@pytest.mark.parametrize("code", [0, 3])
def test_time_out_of_a_hook_that_tidies_up(code: int, updates: Updates, tmp_path: Path) -> None:
    """SIGTERM comes first; what the hook makes of it does not save the job."""
    tidied = tmp_path / "tidied"
    hook = updates.hooks.directory / "install"
    hook.write_text(
        f"#!/bin/sh\ntrap 'echo tidied >> {tidied}; exit {code}' TERM\nsleep 3600 & wait\n"
    )
    device = updates.start(hooks={"timeout_install": 2})
    history = updates.run()
    assert marked(device.directory) == [device.pid]
    assert history == POINTS[2].failure("Timed out after 2s and was ended")
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

"""A job that was deleted and created anew while the agent could not be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.updates import Updates
from tests.simulator import faults
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import leave, say, wait_for_file
from tests.support.waiting import wait_until
from upparat.job import Hook


@pytest.mark.parametrize("hook", [Hook.READY, Hook.INSTALL])
@pytest.mark.parametrize("restarted", [False, True])
def test_the_old_end_is_not_that_of_the_new_job(
    hook: Hook, restarted: bool, updates: Updates, broker: Mosquitto, tmp_path: Path
) -> None:
    """The same id and number; only the time when it was queued tells them apart."""
    go = tmp_path / "go"
    code = 0 if hook is Hook.READY else 7
    hooks = updates.hooks
    hooks.set(hook, [wait_for_file(go), leave(code)], [])
    hooks.restart([hooks.become("2.0")] if hook is Hook.READY else [hooks.become("3.0")])
    device = updates.start()
    updates.create()
    hooks.wait_for_call(hook.value)
    wait_until(lambda: updates.cloud.execution("job-1").version > 1)
    broker.stop()
    go.touch()
    device.wait_until_it_owes()
    if restarted:
        device.kill()
    hooks.restart([hooks.become("3.0")])
    first = updates.cloud.execution("job-1").queued_at
    updates.cloud.delete("job-1", force=True)
    wait_until(lambda: updates.cloud.store.now() > first)
    updates.create(version="3.0")
    broker.start()
    if restarted:
        device.start()
    updates.cloud.wait_for_end("job-1")
    assert updates.history()[-1][:2] == ("SUCCEEDED", "complete_soft_restart")
    assert [call.env["UPPARAT_VERSION"] for call in updates.calls(hook="ready")][-1] == "3.0"


@pytest.mark.parametrize("how", ["killed", "offline", "unheard"])
def test_the_first_word_of_the_old_job_is_its_end(
    how: str, updates: Updates, broker: Mosquitto, tmp_path: Path
) -> None:
    """AWS has heard nothing of the old job, so both have the same version. The operator has
    repaired the job, and it must not end by the end of the one before."""
    hooks = updates.hooks
    go = tmp_path / "go"
    hooks.set("check", [wait_for_file(go), say("only for board B"), leave(1)], [])
    device = updates.start()
    if how == "unheard":
        updates.cloud.on("update", faults.lost(), state="incompatible")
    updates.create(version="3.0")
    hooks.wait_for_call("check")
    if how != "unheard":
        broker.stop()
    go.touch()
    device.wait_until_it_owes()
    if how == "unheard":
        updates.cloud.wait_for(lambda: updates.cloud.unused == [])
        broker.stop()
    if how == "killed":
        device.kill()
    first = updates.cloud.execution("job-1").queued_at
    updates.cloud.delete("job-1", force=True)
    wait_until(lambda: updates.cloud.store.now() > first)
    updates.create()
    broker.start()
    if how == "killed":
        device.start()
    updates.cloud.wait_for_end("job-1")
    assert updates.history()[-1] == ("SUCCEEDED", "complete_soft_restart", "none")

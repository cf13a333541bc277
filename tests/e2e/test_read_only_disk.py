"""A disk that is read-only when an update ends: the agent cannot forget it. A later agent finds the
record of its restart, and must neither take back what was confirmed nor do it twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.updates import Updates, asks_for_the_end
from tests.simulator import faults
from tests.support.agent import Agent
from tests.support.disks import Mount, remount
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import leave, wait_for_file
from tests.support.waiting import wait_until


@pytest.fixture
def disk(mount: Mount) -> Path:
    return mount("disk")


def end_read_only(disk: Path, updates: Updates) -> Agent:
    """Let job-1 end while the disk is read-only. Then the agent runs, and does nothing."""
    hooks = updates.hooks.standard(restart=updates.hooks.kill_agent())
    hooks.set("rollback", [hooks.become("1.0")])
    hooks.set("cleanup", [])
    device = updates.start(reboots=True, service={"state_dir": disk})
    updates.create()
    wait_until(lambda: not device.alive)
    wait_until(lambda: remount(disk, "ro"))
    device.start()
    updates.cloud.wait_for_end("job-1")
    device.wait_for_log("The record cannot be removed: [Errno 30] Read-only file system")
    device.wait_for_log("fetch_jobs -> monitor")
    return device


def start_writable(disk: Path, device: Agent) -> None:
    """Start the agent anew, with a disk that is writable again."""
    device.kill()
    wait_until(lambda: remount(disk, "rw"))
    device.start()


def test_a_success(disk: Path, updates: Updates) -> None:
    device = end_read_only(disk, updates)
    assert updates.history()[-1] == ("SUCCEEDED", "complete_ready", "none")
    start_writable(disk, device)
    device.wait_for_log("-> monitor", after="it has ended meanwhile")
    assert "rollback" not in updates.hooks.names()
    told = [call.argv[3] for call in updates.hooks.calls("cleanup")]
    assert told == ["complete_ready"] * 2, "at least once, and the same end"


def test_the_next_job_does_not_restart_it_again(disk: Path, updates: Updates) -> None:
    start_writable(disk, end_read_only(disk, updates))
    assert updates.run("job-2") == [("SUCCEEDED", "version_already_installed", "none")]
    assert updates.hooks.names().count("restart") == 1


def test_it_is_forgotten_as_soon_as_the_disk_lets_it(disk: Path, updates: Updates) -> None:
    end_read_only(disk, updates)
    wait_until(lambda: remount(disk, "rw"))
    assert (disk / "record.json").exists()
    updates.cloud.create_job("foreign", {"action": "reboot"})
    wait_until(lambda: not (disk / "record.json").exists())


def test_aws_has_no_time_to_say_how_it_has_ended(disk: Path, updates: Updates) -> None:
    """Nothing is decided before AWS has said it."""
    device = end_read_only(disk, updates)
    rule = updates.cloud.on("update", faults.throttled(), times=2, where=asks_for_the_end)
    start_writable(disk, device)
    assert updates.run("job-2") == [("SUCCEEDED", "version_already_installed", "none")]
    assert rule.hits == 2
    assert "it has ended meanwhile" in device.log
    assert "rollback" not in updates.hooks.names()


def test_taken_back_without_a_connection(disk: Path, updates: Updates, broker: Mosquitto) -> None:
    """Neither the device nor AWS would know that it was: the rollback waits for AWS."""
    hooks = updates.hooks.standard(restart=updates.hooks.kill_agent())
    go = hooks.directory / "go"
    hooks.ready([wait_for_file(go), leave(1)])
    hooks.set("rollback", [hooks.become("1.0")])
    device = updates.start(reboots=True, service={"state_dir": disk})
    updates.create()
    wait_until(lambda: not device.alive)
    wait_until(lambda: remount(disk, "ro"))
    device.start()
    hooks.wait_for_call("ready")
    broker.stop()
    go.touch()
    device.wait_for_log("verify_installation -> rollback")
    device.kill()
    assert "rollback" not in hooks.names()
    broker.start()
    device.start()
    assert updates.end()[-1] == ("FAILED", "ready_hook_failed", "Exit code: 1")
    assert hooks.names().count("rollback") == 1
    assert hooks.version_file.read_text() == "1.0"


def test_a_rollback_for_which_another_job_waits(disk: Path, updates: Updates) -> None:
    """AWS does not describe the job that is taken back. AWS has to remember the rollback all the
    same, and it comes to its end first."""
    hooks = updates.hooks
    hooks.ready([leave(1)], [])
    hooks.restart([hooks.become("2.0")], [hooks.become("3.0")])
    hooks.set("rollback", [wait_for_file(hooks.directory / "never")], [hooks.become("1.0")])
    device = updates.start(service={"state_dir": disk})
    updates.create()
    hooks.wait_for_call("rollback")
    device.power_cut()
    wait_until(lambda: remount(disk, "ro"))
    updates.create("job-2", version="3.0")
    updates.cloud.on("describe", faults.rejected("InvalidRequest"), 1, job_id="job-1")
    device.start()
    assert updates.end()[-1] == ("FAILED", "ready_hook_failed", "Exit code: 1")
    updates.cloud.wait_for_end("job-2")
    jobs = [call.env["UPPARAT_JOB_ID"] for call in hooks.calls("rollback")]
    assert jobs[:3] == ["job-1", "job-1", "job-2"], "its restarts cannot be counted"
    wait_until(lambda: remount(disk, "rw"))

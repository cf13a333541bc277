"""What a device meets in the field, and no process among others can show."""

from __future__ import annotations

import json
import subprocess
from random import Random

from upparat.job import Status

from .ntp import NtpServer
from .world import (
    FIRST,
    MIB,
    SECOND,
    DeviceWorld,
    MakeWorld,
    assert_not_updated,
    assert_updated,
    violations,
)

SLOW = {"download": {"max_rate": "1000000"}}


def test_an_agent_that_hangs(device: MakeWorld) -> None:
    """The watchdog of systemd ends it in mid-download. The next one goes on."""
    world = device(options=SLOW)
    machine = world.machine
    world.release("job-1", "2.0")
    machine.start()
    machine.wait_for("-> download")
    world.wait_until_up()
    machine.guest.run("systemctl kill --kill-whom=main --signal=STOP upparat")
    machine.wait(lambda: restarts(world) == "1", "a start by the watchdog")
    assert "Watchdog timeout" in journal(world, "upparat")
    assert_updated(world)


def restarts(world: DeviceWorld) -> str:
    """How often systemd has started the agent anew since the boot."""
    return world.run("systemctl show --property=NRestarts --value upparat").strip()


def test_a_clock_of_1970(device: MakeWorld) -> None:
    """No certificate is valid yet. The agent tries until a time server sets the clock."""
    world = device(clock="1970-01-02")
    machine = world.machine
    world.release("job-1", "2.0")
    machine.start()
    machine.wait_for("not yet valid")
    assert world.execution("job-1").status is Status.QUEUED
    with NtpServer():
        assert_updated(world)


def test_a_full_data_partition(world: DeviceWorld) -> None:
    """The job fails with the truth, and the next one works once there is room."""
    machine = world.machine
    machine.start()
    world.wait_until_up()
    world.run('fallocate -l "$(df --output=avail --block-size=1 /data | tail -1)" /data/fill')
    world.release("job-1", "2.0")
    assert_not_updated(world, "insufficient_storage")
    world.run("rm /data/fill")
    world.release("job-2", "2.0")
    assert_updated(world, "job-2")


def test_a_read_only_data_partition(device: MakeWorld) -> None:
    """As of a worn-out flash. The agent runs and says so. Its job fails with the truth, and the
    next one works once the partition is writable."""
    world = device(variables={"data": "ro"})
    world.release("job-1", "2.0")
    world.machine.start()
    world.machine.wait_for("The configuration is wrong: .*state_dir.* cannot be written to")
    ended = assert_not_updated(world, "download_failed")
    assert ended.details["message"] == "the file cannot be stored: Read-only file system"
    world.run("fw_setenv data")
    world.reboot()
    world.release("job-2", "2.0")
    assert_updated(world, "job-2")


def test_a_file_system_with_errors(device: MakeWorld) -> None:
    """The kernel makes it read-only in mid-download, and lets nothing be read from it. The job
    fails with the truth. The next boot repairs it, nothing of the job is left, and the next one
    works."""
    world = downloading(device)
    world.run("echo trouble >/sys/fs/ext4/vda4/trigger_fs_error")
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.FAILED, "download_failed")
    assert ended.details["message"].startswith("the file cannot be stored: ")
    assert world.slots() == FIRST

    reboot_until_at_rest(world)
    assert "contains a file system with errors" in journal(world, "systemd-fsck@dev-vda4")
    assert violations(world, "job-1", "1.0") == []
    assert world.execution("job-1") == ended
    world.release("job-2", "2.0")
    assert_updated(world, "job-2")


def test_a_success_that_cannot_be_remembered(device: MakeWorld) -> None:
    """The data partition is read-only from the boot of the new version on. The agent confirms it,
    and a later one that finds the old record does not take it back."""
    world = downloading(device)
    world.run("fw_setenv data ro")
    ended = assert_updated(world)
    assert '"restarting": true' in world.run("cat /var/lib/upparat/state/record.json")

    world.run("fw_setenv data")
    since = reboot_until_at_rest(world)
    assert "rollback" not in world.machine.console[since:]
    assert world.slots() == SECOND
    assert violations(world, "job-1", "2.0") == []
    assert world.execution("job-1") == ended


def test_a_damaged_data_partition(device: MakeWorld) -> None:
    """The power fails in mid-download, and the superblock and the state directory are lost. The
    next boot repairs the file system, and the update goes through without a record."""
    world = downloading(device)
    machine = world.machine
    machine.wait(lambda: downloaded(world, "job-1") > 8 * MIB, "8 MiB of the download")
    world.run("sync")
    machine.cut_power(Random(1))
    damage(world)
    since = len(machine.console)
    machine.start()
    machine.wait_for("-> download", since)
    world.wait_until_up()
    assert "job-1" in world.run("grep -rh schema /data/lost+found")
    assert_updated(world)


def downloading(device: MakeWorld) -> DeviceWorld:
    """A device in the middle of a download that takes long."""
    world = device(options=SLOW)
    world.machine.start()
    world.wait_until_up()
    world.release("job-1", "2.0")
    world.machine.wait_for("-> download")
    return world


def reboot_until_at_rest(world: DeviceWorld) -> int:
    """Let the guest reboot, and wait until its agent has no job in hand. Returns the place in the
    console where the new boot begins."""
    since = world.reboot()
    world.machine.wait_for("-> monitor", since)
    world.wait_until_up()
    return since


def damage(world: DeviceWorld) -> None:
    """Damage the file system of the data partition from the outside."""
    disk = world.directory / "disk"
    file_system = f"{disk}?offset={world.data_begin}"
    # The journal would bring back what it holds.
    subprocess.run(["/usr/sbin/e2fsck", "-p", file_system], capture_output=True, check=False)
    clear = ["/usr/sbin/debugfs", "-w", "-R", "clri /upparat/state", file_system]
    subprocess.run(clear, capture_output=True, check=True)
    with disk.open("r+b") as file:
        file.seek(world.data_begin)
        file.write(bytes(4096))


def downloaded(world: DeviceWorld, job_id: str) -> int:
    """How many bytes of the file the device has, as far as AWS knows."""
    execution = world.execution(job_id)
    if execution.state != "download_progress":
        return 0
    return int(json.loads(execution.details["message"])["downloaded_bytes"])


def journal(world: DeviceWorld, unit: str) -> str:
    return world.run(f"journalctl --unit={unit} --output=cat")

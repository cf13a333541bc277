"""What a device meets in the field, and no process among others can show."""

from __future__ import annotations

from upparat.job import Status

from .ntp import NtpServer
from .world import DeviceWorld, MakeWorld, assert_not_updated, assert_updated

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


def journal(world: DeviceWorld, unit: str) -> str:
    return world.run(f"journalctl --unit={unit} --output=cat")

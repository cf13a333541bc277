"""What a device meets in the field, and no process among others can show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from upparat.job import Status
from upparat.local.aws import LocalAws

from .ntp import NtpServer
from .test_updates import FIRST, SECOND
from .world import DeviceWorld, violations

MakeWorld = Callable[..., DeviceWorld]


@pytest.fixture
def device(aws: LocalAws, tmp_path: Path) -> Iterator[MakeWorld]:
    """Make a device that is off."""
    with ExitStack() as stack:

        def make(**options: object) -> DeviceWorld:
            world = DeviceWorld(aws, tmp_path / "device", **options)  # type: ignore[arg-type]
            stack.enter_context(world.machine)
            stack.callback(lambda: print(world.machine.console[-20_000:]))
            return world

        yield make


def test_an_agent_that_hangs(device: MakeWorld) -> None:
    """The watchdog of systemd ends it in mid-download. The next one goes on."""
    world = device(options={"download": {"max_rate": "1000000"}})
    machine = world.machine
    world.release("job-1", "2.0")
    machine.start()
    machine.wait_for("-> download")
    world.wait_until_up()
    machine.guest.run("systemctl kill --kill-whom=main --signal=STOP upparat")
    machine.wait(lambda: restarts(world) == "1", "a start by the watchdog")
    journal = machine.guest.run("journalctl --unit=upparat --output=cat").stdout
    assert "Watchdog timeout" in journal
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert world.slots() == SECOND
    assert violations(world, "job-1", "2.0") == []


def restarts(world: DeviceWorld) -> str:
    """How often systemd has started the agent anew since the boot."""
    return world.machine.guest.run(
        "systemctl show --property=NRestarts --value upparat"
    ).stdout.strip()


def test_a_clock_of_1970(device: MakeWorld) -> None:
    """No certificate is valid yet. The agent tries until a time server sets the clock."""
    world = device(clock="1970-01-02")
    machine = world.machine
    world.release("job-1", "2.0")
    machine.start()
    machine.wait_for("not yet valid")
    assert world.execution("job-1").status is Status.QUEUED
    with NtpServer():
        ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert world.slots() == SECOND


def test_a_full_data_partition(device: MakeWorld) -> None:
    """The job fails with the truth, and the next one works once there is room."""
    world = device()
    machine = world.machine
    machine.start()
    world.wait_until_up()
    filled = machine.guest.run(
        'fallocate -l "$(df --output=avail --block-size=1 /data | tail -1)" /data/fill'
    )
    assert filled.returncode == 0, filled
    world.release("job-1", "2.0")
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.FAILED, "insufficient_storage")
    assert world.slots() == FIRST
    assert violations(world, "job-1", "1.0") == []
    machine.guest.run("rm /data/fill")
    world.release("job-2", "2.0")
    ended = world.wait_for_end("job-2")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert world.slots() == SECOND
    assert violations(world, "job-2", "2.0") == []

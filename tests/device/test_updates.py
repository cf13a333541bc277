"""What no process among others shows: boots, fall-backs, systemd, a clock that is wrong."""

from __future__ import annotations

import re

from upparat.job import Status

from .cuts import violations
from .ntp import NtpServer
from .world import DeviceWorld, Slots

FIRST = Slots("1.0", "rootfs-a", "rootfs-a", "")
SECOND = Slots("2.0", "rootfs-b", "rootfs-b", "")


def test_an_update(world: DeviceWorld) -> None:
    """Download, install into the other slot, reboot, confirm; and the next boot starts it too."""
    machine = world.machine
    machine.start()
    world.wait_until_up()
    assert world.slots() == FIRST
    world.release("job-1", "2.0")
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert world.slots() == SECOND
    assert violations(world, "job-1", "2.0") == []
    boots = re.findall("boot: (.*)", machine.console)
    assert [line.strip() for line in boots] == ["rootfs-a, permanent", "rootfs-b, trial"]
    assert silent_units(world) == ""

    # A reboot later, the boot loader takes the new slot for the permanent one.
    since = len(machine.console)
    machine.guest.run("systemctl reboot")
    machine.wait_for("boot: rootfs-b, permanent", since)


def silent_units(world: DeviceWorld) -> str:
    """What systemd finds wrong with the unit, and the units that have failed."""
    ran = world.machine.guest.run(
        "systemd-analyze verify /usr/lib/systemd/system/upparat.service 2>&1;"
        "systemctl list-units --failed --plain --no-legend"
    )
    return ran.stdout


def test_a_version_that_does_not_boot(world: DeviceWorld) -> None:
    """Init ends, the kernel panics, the boot loader falls back. The job ends with the truth."""
    world.release("job-1", "3.0", "broken")
    world.machine.start()
    ended = world.wait_for_end("job-1")
    assert ended.status is Status.FAILED
    assert ended.state == "version_mismatch"
    assert world.slots() == FIRST
    assert violations(world, "job-1", "1.0") == []
    console = world.machine.console
    assert "Kernel panic" in console
    boots = [line.strip() for line in re.findall("boot: (.*)", console)]
    assert boots == ["rootfs-a, permanent", "rootfs-b, trial", "rootfs-a, permanent"]


def test_an_agent_that_hangs(world: DeviceWorld) -> None:
    """SIGSTOP in the midst of a download: systemd misses its pings, and starts another one."""
    machine = world.machine
    machine.start()
    world.wait_until_up()
    run = machine.guest.run
    run(
        "mkdir -p /run/systemd/system/upparat.service.d &&"
        "printf '[Service]\nWatchdogSec=30\n' >/run/systemd/system/upparat.service.d/hang.conf &&"
        "systemctl daemon-reload && systemctl restart upparat",
        timeout=600,
    )
    shown = run("systemctl show -p Type,KillMode,ActiveState,StatusText upparat").stdout
    assert "Type=notify\n" in shown
    assert "KillMode=process\n" in shown
    assert "ActiveState=active\n" in shown
    since = len(machine.console)
    world.release("job-1", "2.0")
    machine.wait_for("download", since)
    stopped = run("systemctl show -P MainPID upparat; systemctl kill -s STOP upparat").stdout
    machine.wait(lambda: run("systemctl show -P NRestarts upparat").stdout != "0\n", "a new agent")
    assert run("systemctl show -P MainPID upparat").stdout not in ("0\n", stopped)
    assert run("journalctl -u upparat").stdout.count("Watchdog timeout") == 1
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert world.slots() == SECOND


def test_a_clock_of_1970(world: DeviceWorld) -> None:
    """No certificate is valid yet. The agent goes on trying until somebody sets the clock."""
    machine = world.machine
    machine.clock = "1970-01-01"
    world.release("job-1", "2.0")
    machine.start()
    machine.wait_for("certificate is not yet valid")
    assert world.execution("job-1").status is Status.QUEUED
    with NtpServer():
        ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert world.slots() == SECOND

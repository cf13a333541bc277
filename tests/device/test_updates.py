"""Updates of a machine that boots."""

from __future__ import annotations

import re

from .world import FIRST, DeviceWorld, assert_not_updated, assert_updated


def test_an_update(world: DeviceWorld) -> None:
    """Download, install into the other slot, reboot, confirm; and the next boot starts it too."""
    machine = world.machine
    machine.start()
    world.wait_until_up()
    assert world.slots() == FIRST
    world.release("job-1", "2.0")
    assert_updated(world)
    assert boots(world) == ["rootfs-a, permanent", "rootfs-b, trial"]
    assert silent_units(world) == ""

    # A reboot later, the boot loader takes the new slot for the permanent one.
    begin = world.reboot()
    assert machine.console[begin:].startswith("boot: rootfs-b, permanent")


def test_a_version_that_does_not_boot(world: DeviceWorld) -> None:
    """Init ends, the kernel panics, the boot loader falls back. The job ends with the truth."""
    world.release("job-1", "3.0", "broken")
    world.machine.start()
    ended = assert_not_updated(world, "version_mismatch")
    assert ended.details["message"] == "Expected version '3.0', got '1.0'"
    assert (ended.details["rollback"], ended.details["running"]) == ("done", "1.0")
    assert boots(world) == ["rootfs-a, permanent", "rootfs-b, trial", "rootfs-a, permanent"]
    assert "Kernel panic" in world.machine.console


def boots(world: DeviceWorld) -> list[str]:
    """What the boot loader has started, in order. The kernel writes lines that end in "reboot:"."""
    return [line.strip() for line in re.findall("(?m)^boot: (.*)", world.machine.console)]


def silent_units(world: DeviceWorld) -> str:
    """What systemd finds wrong with the unit, and the units that have failed."""
    ran = world.machine.guest.run(
        "systemd-analyze verify --man=no /usr/lib/systemd/system/upparat.service 2>&1;"
        "systemctl list-units --failed --plain --no-legend"
    )
    return ran.stdout

"""Updates of a machine that boots."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from upparat import __version__

from .world import FIRST, DeviceWorld, MakeWorld, assert_not_updated, assert_updated

NEWER = "99.0"
"""The agent of ``image-newer``."""


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


def test_a_newer_agent(world: DeviceWorld) -> None:
    """The update brings an agent whose record has another format. It reads that of the older one,
    and ends the job."""
    world.release("job-1", "2.0", "newer")
    world.machine.start()
    ended = assert_updated(world)
    assert ended.details["agent"] == NEWER
    assert "The record makes no sense" not in world.machine.console
    assert world.run("ls /var/lib/upparat/state/record* 2>/dev/null || true") == ""


def test_a_newer_agent_that_does_not_stay(device: MakeWorld) -> None:
    """It is not confirmed, and the power fails: the boot loader falls back. The older agent finds
    a record that it cannot read, and the job ends with the truth."""
    world = device(options={"hooks": {"ready": "/bin/sh -c 'exit 3'"}})
    machine = world.machine
    world.release("job-1", "2.0", "newer")
    machine.start()
    machine.wait_for("verify_installation")
    machine.wait(lambda: machine.guest.up and record(world).get("schema") == 2, "a newer record")
    machine.cut_power(Random(1))
    machine.start()
    ended = assert_not_updated(world, "version_mismatch")
    assert "The record makes no sense and is set aside: ValueError('schema 2')" in machine.console
    assert ended.details["message"] == "Expected version '2.0', got '1.0'"
    assert (ended.details["rollback"], ended.details["running"]) == ("done", "1.0")
    assert ended.details["agent"] == __version__
    assert record(world, "record.bad")["novelty"] == {"is": "news"}


def record(world: DeviceWorld, name: str = "record.json") -> dict[str, Any]:
    """The record on the device; empty if there is none."""
    text = world.run(f"cat /var/lib/upparat/state/{name} 2>/dev/null || echo '{{}}'")
    found: dict[str, Any] = json.loads(text)
    return found


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

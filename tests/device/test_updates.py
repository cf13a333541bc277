"""An update of a machine that boots."""

from __future__ import annotations

import re

from upparat.job import Status

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
    boots = re.findall("(?m)^boot: (.*)", machine.console)
    assert [line.strip() for line in boots] == ["rootfs-a, permanent", "rootfs-b, trial"]
    assert silent_units(world) == ""

    # A reboot later, the boot loader takes the new slot for the permanent one.
    since = len(machine.console)
    machine.guest.run("systemd-run --on-active=1 systemctl reboot")
    machine.wait_for("boot: rootfs-b, permanent", since)


def silent_units(world: DeviceWorld) -> str:
    """What systemd finds wrong with the unit, and the units that have failed."""
    ran = world.machine.guest.run(
        "systemd-analyze verify --man=no /usr/lib/systemd/system/upparat.service 2>&1;"
        "systemctl list-units --failed --plain --no-legend"
    )
    return ran.stdout


def violations(world: DeviceWorld, job_id: str, version: str) -> list[str]:
    """What does not hold when a job has ended and the guest is up."""
    wrong = []
    slots = world.slots()
    if slots.version != version:
        wrong.append(f"{world.execution(job_id)}, and {slots.version} runs")
    if slots.permanent != slots.running or slots.trial:
        wrong.append(f"the boot loader will not start what runs: {slots}")
    left = world.machine.guest.run("find /var/lib/upparat -name '*.part' -o -name '*.file'").stdout
    if left:
        wrong.append(f"left: {left}")
    if re.search(r"X-Amz|Signature=", world.machine.console):
        wrong.append("the console shows a signed URL")
    return [f"{job_id}: {each}" for each in wrong]

"""An update by RAUC, which fetches the bundle through the agent."""

from __future__ import annotations

import json
from collections.abc import Mapping

from upparat.job import Status

from .test_updates import boots
from .world import HOOKS, DeviceWorld, MakeWorld

HOOK_OPTIONS = {
    **{name: f"/usr/lib/upparat/rauc/{name}" for name in (*HOOKS, "cleanup")},
    "install_url": "yes",
}


SLOW = {"max_rate": "400000"}
"""Bytes a second: the bundle takes over two minutes then."""


def install(device: MakeWorld, expires: int = 3600, **options: Mapping[str, str]) -> DeviceWorld:
    """Let RAUC update the device, which must succeed.

    :param expires: seconds that a URL of the bundle is valid.
    """
    world = device(
        image="rauc",
        variables={"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"},
        options={"hooks": HOOK_OPTIONS, **options},
    )
    world.release("job-1", "2.0", "bundle", expires)
    world.machine.start()
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert (ended.details["from"], ended.details["to"]) == ("0~factory", "2.0")
    assert "verification: installer" in world.machine.console
    return world


def test_a_bundle_that_rauc_fetches(device: MakeWorld) -> None:
    """RAUC reads what it needs from the agent's URL, and checks each block. The agent stores
    nothing. The boot loader tries the other slot, and the ready hook marks it good."""
    world = install(device)
    assert boots(world) == ["rootfs-a, 3 tries left", "rootfs-b, 3 tries left"]
    status = json.loads(world.run("rauc status --detailed --output-format=json"))
    [slot] = [slots["rootfs.1"] for slots in status["slots"] if "rootfs.1" in slots]
    assert (status["booted"], status["boot_primary"]) == ("B", "rootfs.1")
    assert (slot["state"], slot["boot_status"]) == ("booted", "good")
    assert slot["slot_status"]["bundle"]["version"] == "2.0"
    assert "reported download_interrupt" not in world.machine.console


def test_a_url_that_expires_while_rauc_reads(device: MakeWorld) -> None:
    """The server refuses it after a minute. The agent asks AWS for fresh ones, and RAUC, which
    reads on, does not notice."""
    world = install(device, expires=60, download=SLOW)
    assert "reported download_interrupt" in world.machine.console

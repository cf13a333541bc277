"""An update by RAUC, which fetches the bundle through the agent."""

from __future__ import annotations

import json

from upparat.job import Status

from .test_updates import boots
from .world import HOOKS, MakeWorld

HOOK_OPTIONS = {
    **{name: f"/usr/lib/upparat/rauc/{name}" for name in (*HOOKS, "cleanup")},
    "install_url": "yes",
}


def test_a_bundle_that_rauc_fetches(device: MakeWorld) -> None:
    """RAUC reads what it needs from the agent's URL, and checks each block. The agent stores
    nothing. The boot loader tries the other slot, and the ready hook marks it good."""
    world = device(
        image="rauc",
        variables={"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"},
        options={"hooks": HOOK_OPTIONS},
    )
    world.release("job-1", "2.0", "bundle")
    world.machine.start()
    ended = world.wait_for_end("job-1")
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready")
    assert (ended.details["from"], ended.details["to"]) == ("0~factory", "2.0")
    assert boots(world) == ["rootfs-a, 3 tries left", "rootfs-b, 3 tries left"]
    status = json.loads(world.run("rauc status --detailed --output-format=json"))
    [slot] = [slots["rootfs.1"] for slots in status["slots"] if "rootfs.1" in slots]
    assert (status["booted"], status["boot_primary"]) == ("B", "rootfs.1")
    assert (slot["state"], slot["boot_status"]) == ("booted", "good")
    assert slot["slot_status"]["bundle"]["version"] == "2.0"
    assert "verification: installer" in world.machine.console

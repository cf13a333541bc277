"""The hooks for RAUC with the real ``rauc``, as ``docs/installers.md`` sets them up."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import INSTALLING, RESTARTING, STARTED, Step, Updates
from tests.support.files import FileServer
from tests.support.rauc import SIZE, RaucDevice, image, requires_rauc
from tests.support.waiting import wait_until
from tests.support.world import signed
from tests.support.zchunk import changed, requires_zck, zck

pytestmark = [pytest.mark.long, requires_rauc]

NEW = image("running", "2.0")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[RaucDevice]:
    with tempfile.TemporaryDirectory() as directory:  # its path is short enough for a socket
        with RaucDevice(Path(directory), tmp_path / "agent" / "agent.pid") as device:
            yield device
        print(device.log)


class Fleet:
    """Sends images to the device, as bundles."""

    def __init__(self, updates: Updates, files: FileServer, device: RaucDevice) -> None:
        self.updates = updates
        self.files = files
        self.device = device

    def offer(self, content: bytes, version: str = "2.0") -> None:
        """Put a bundle on the server, and start the agent unless it runs."""
        bundle = self.device.bundle(version, content)
        self.updates.file = self.files.add(f"/bundle-{version}.raucb", bundle)
        if self.updates.agent is None:
            self.updates.start(supervised=True, reboots=True, hooks=self.device.hooks)

    def told(self, job_id: str = "job-1") -> list[Step]:
        """The steps of a job that has ended, but for the lines of the installation."""
        steps = self.updates.end(job_id)
        wait_until(lambda: not (self.device.root / "note").exists())
        return [step for step in steps if step[1] != "installation_progress"]

    def progress(self, job_id: str = "job-1") -> list[str]:
        history = self.updates.history(job_id)
        return [message for _, state, message in history if state == "installation_progress"]

    @property
    def details(self) -> dict[str, str]:
        return self.updates.cloud.updates("job-1")[-1].details


@pytest.fixture
def fleet(updates: Updates, files: FileServer, device: RaucDevice) -> Fleet:
    return Fleet(updates, files, device)


def test_two_updates(fleet: Fleet, device: RaucDevice) -> None:
    """Each into the slot that does not run, and confirmed there."""
    fleet.offer(NEW)
    fleet.updates.create()
    succeeded = [STARTED, INSTALLING, RESTARTING, ("SUCCEEDED", "complete_ready", "none")]
    assert fleet.told() == succeeded
    assert device.slot("B") == NEW
    assert (device.booted, device.primary, device.state("B")) == ("B", "B", "good")
    assert fleet.progress()[-1] == "2.0 is installed"
    # Not each line of the progress is reported, because they come fast.
    assert fleet.updates.agent is not None
    assert "Copying image to rootfs.1" in fleet.updates.agent.log
    third = image("running", "3.0")
    fleet.offer(third, "3.0")
    fleet.updates.create("job-2", version="3.0")
    assert fleet.told("job-2") == succeeded
    assert device.slot("A") == third
    assert (device.booted, device.slot("B")) == ("A", NEW)


def test_nothing_switches_before_the_restart(fleet: Fleet, device: RaucDevice) -> None:
    """A device that loses power while the restart waits boots what it ran."""
    (device.root / "busy").touch()
    fleet.offer(NEW)
    fleet.updates.create()
    agent = fleet.updates.agent
    assert agent is not None
    agent.wait_for_log("restart hook: the device is in use")
    assert (device.slot("B"), device.primary) == (NEW, "A")
    (device.root / "busy").unlink()
    assert fleet.told()[-1] == ("SUCCEEDED", "complete_ready", "none")


def test_a_version_that_does_not_boot(fleet: Fleet, device: RaucDevice) -> None:
    fleet.offer(image("panic", "2.0"))
    fleet.updates.create()
    message = "Expected version '2.0', got '0~factory'"
    assert fleet.told()[-1] == ("FAILED", "version_mismatch", message)
    assert (fleet.details["rollback"], fleet.details["running"]) == ("done", "0~factory")
    assert (device.booted, device.primary) == ("A", "A")


def test_a_version_that_does_not_work(fleet: Fleet, device: RaucDevice) -> None:
    fleet.offer(image("degraded", "2.0"))
    fleet.updates.create()
    assert fleet.told()[-1] == ("FAILED", "ready_hook_failed", "Exit code: 1")
    assert device.slot("B").startswith(b"degraded")
    assert (fleet.details["rollback"], fleet.details["running"]) == ("done", "0~factory")
    assert (device.booted, device.primary) == ("A", "A")


def refused(fleet: Fleet, device: RaucDevice) -> None:
    """The job fails in the install hook, and both slots are as they were."""
    slots = device.slot("A"), device.slot("B")
    fleet.updates.create()
    assert fleet.told()[-1] == ("FAILED", "installation_hook_failed", "Exit code: 1")
    assert (device.slot("A"), device.slot("B")) == slots
    assert (fleet.details["rollback"], fleet.details["running"]) == ("done", "0~factory")
    assert (device.booted, device.primary) == ("A", "A")


def test_a_bundle_of_a_stranger(fleet: Fleet, device: RaucDevice) -> None:
    fleet.offer(NEW)
    device.page.make_keys()
    device.page.set_up(device.environment)
    refused(fleet, device)


def test_a_bundle_of_another_version(fleet: Fleet, device: RaucDevice) -> None:
    fleet.offer(NEW)
    bundle = device.bundle("2.1", NEW)
    fleet.updates.file = fleet.files.add("/bundle.raucb", bundle)
    refused(fleet, device)
    assert "the bundle has version 2.1, and the job 2.0" in fleet.progress()


def test_an_installation_that_outlives_its_hook(fleet: Fleet, device: RaucDevice) -> None:
    """The agent is stopped, and RAUC goes on: the next run of the hook waits for it."""
    (device.root / "hold").touch()
    fleet.offer(NEW)
    fleet.updates.create()
    wait_until((device.root / "writing").exists)
    agent = fleet.updates.agent
    assert agent is not None
    agent.stop()
    agent.start()
    busy = ("IN_PROGRESS", "installation_progress", "RAUC is busy, or does not run")
    fleet.updates.wait_for_step(busy)
    (device.root / "hold").unlink()
    assert fleet.told()[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert (device.booted, device.slot("B")) == ("B", NEW)


def test_a_power_cut_in_the_installation(fleet: Fleet, device: RaucDevice) -> None:
    """Nothing of it is left but half a slot: RAUC writes it again."""
    (device.root / "hold").touch()
    fleet.offer(NEW)
    fleet.updates.create()
    wait_until((device.root / "writing").exists)
    agent = fleet.updates.agent
    assert agent is not None
    agent.power_cut()
    device.power_cut()
    assert (device.booted, device.state("B")) == ("A", "bad")
    agent.start()
    assert fleet.told()[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert (device.booted, device.slot("B")) == ("B", NEW)


@requires_zck
def test_a_delta_of_a_bundle(fleet: Fleet, device: RaucDevice, tmp_path: Path) -> None:
    """The last bundle is kept, and the next one costs what has changed in the image."""
    updates, noise = fleet.updates, random.Random(1).randbytes(SIZE)
    updates.start(supervised=True, reboots=True, hooks=device.hooks, delta={"keep": "yes"})
    for job_id, version, content in (
        ("job-1", "2.0", image("running", "2.0", noise)),
        ("job-2", "3.0", image("running", "3.0", changed(noise, 1_000_000))),
    ):
        bundle = device.bundle(version, content)
        file = fleet.files.add(f"/{version}.raucb", bundle)
        delta = fleet.files.add(f"/{version}.zck", zck(tmp_path, bundle))
        members = {"file": signed(file), "delta": signed(delta), "sha256": file.sha256}
        updates.create(job_id, version=version, size=len(bundle), **members)
        assert fleet.told(job_id)[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert device.slot("A") == content
    assert file.sent == 0
    assert 0 < delta.sent < SIZE // 10

"""The hooks for SWUpdate with the real ``swupdate``, as ``docs/installers.md`` sets them up."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.e2e.updates import INSTALLING, RESTARTING, STARTED, Step, Updates
from tests.support.files import FileServer
from tests.support.swupdate import SwupdateDevice, image, requires_swupdate
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, requires_swupdate]

NEW = image("2.0", "running", random.Random(1).randbytes(3_000_000))
SUCCEEDED = [STARTED, INSTALLING, RESTARTING, ("SUCCEEDED", "complete_ready", "none")]
both = pytest.mark.parametrize("streamed", [False, True], ids=["stored", "streamed"])


@pytest.fixture
def device(tmp_path: Path) -> SwupdateDevice:
    return SwupdateDevice(tmp_path / "device", tmp_path / "agent" / "agent.pid")


@pytest.fixture
def leaver(device: SwupdateDevice) -> None:
    """SWUpdate leaves a process behind, as the real one may do with a wrong file."""
    child = device.root / "child" / "swupdate"
    child.parent.mkdir()
    shutil.copy("/bin/sleep", child)
    device.script("swupdate", f'#!/bin/sh\n{child} 600 &\nexec /usr/bin/swupdate "$@"\n')


class Fleet:
    """Sends images to the device, as ``.swu`` files."""

    def __init__(self, updates: Updates, files: FileServer, device: SwupdateDevice) -> None:
        self.updates = updates
        self.device = device
        self._files = files

    def offer(self, content: bytes, *, streamed: bool) -> None:
        """Put a file on the server, and start the agent."""
        swu = self.device.swu("2.0", content)
        self.updates.file = self._files.add("/rootfs-2.0.swu", swu)
        self.updates.members["sha256"] = self.updates.file.sha256
        self.updates.start(
            supervised=True, reboots=True, hooks=self.device.hooks(streamed=streamed)
        )

    def told(self) -> list[Step]:
        """The steps of the job when it has ended, but for the lines of the installation."""
        steps = self.updates.end()
        wait_until(lambda: not (self.device.root / "next-slot").exists())
        return [step for step in steps if step[1] != "installation_progress"]

    @property
    def progress(self) -> list[str]:
        history = self.updates.history()
        return [message for _, state, message in history if state == "installation_progress"]

    def refused(self) -> None:
        """The job fails in the install hook, and the device runs what it ran."""
        self.updates.create()
        assert self.told()[-1] == ("FAILED", "installation_hook_failed", "Exit code: 1")
        details = self.updates.cloud.updates("job-1")[-1].details
        assert (details["rollback"], details["running"]) == ("done", "1.0")
        assert (self.device.booted, self.device.permanent) == ("rootfs-a", "rootfs-a")


@pytest.fixture
def fleet(updates: Updates, files: FileServer, device: SwupdateDevice) -> Fleet:
    return Fleet(updates, files, device)


@both
def test_an_update(streamed: bool, fleet: Fleet, device: SwupdateDevice) -> None:
    fleet.offer(NEW, streamed=streamed)
    fleet.updates.create()
    assert fleet.told() == SUCCEEDED
    assert device.slot("rootfs-b", len(NEW)) == NEW
    assert (device.booted, device.permanent) == ("rootfs-b", "rootfs-b")
    assert fleet.progress[-1] == "2.0 is in rootfs-b"


def test_the_image_is_written_while_it_comes(fleet: Fleet, device: SwupdateDevice) -> None:
    fleet.offer(NEW, streamed=True)
    fleet.updates.file.stall(2_000_000)
    fleet.updates.create()
    wait_until(lambda: device.slot("rootfs-b", 1_000_000) == NEW[:1_000_000])
    fleet.updates.file.release()
    assert fleet.told() == SUCCEEDED


def test_progress_is_told_in_per_cent(fleet: Fleet) -> None:
    """The file comes slowly, because SWUpdate tells the last of many steps at once."""
    fleet.offer(NEW, streamed=True)
    fleet.updates.file.slow(500_000)
    fleet.updates.create()
    agent = fleet.updates.agent
    assert agent is not None
    agent.wait_for_log("% (rootfs.img)")
    assert fleet.told() == SUCCEEDED


def test_a_program_for_progress_that_ends_at_once(fleet: Fleet, device: SwupdateDevice) -> None:
    """Its end is not that of the installation."""
    device.script("swupdate-progress", "#!/bin/sh\nexit 1\n")
    fleet.offer(NEW, streamed=True)
    fleet.updates.create()
    assert fleet.told() == SUCCEEDED


@pytest.mark.usefixtures("leaver")
def test_a_process_that_swupdate_leaves_behind(fleet: Fleet) -> None:
    """The hook ends it: the device has none of it after its job."""
    fleet.offer(NEW, streamed=False)
    fleet.updates.create()
    assert fleet.told() == SUCCEEDED


@both
def test_a_version_that_does_not_work(streamed: bool, fleet: Fleet, device: SwupdateDevice) -> None:
    fleet.offer(image("2.0", "degraded"), streamed=streamed)
    fleet.updates.create()
    assert fleet.told()[-1] == ("FAILED", "ready_hook_failed", "Exit code: 1")
    assert device.slot("rootfs-b", 21) == b"IMAGE_VERSION=2.0\ndeg"
    assert (device.booted, device.permanent) == ("rootfs-a", "rootfs-a")


@both
def test_a_file_of_a_stranger(streamed: bool, fleet: Fleet, device: SwupdateDevice) -> None:
    before = device.slot("rootfs-b", len(NEW))
    fleet.offer(NEW, streamed=streamed)
    device.page.make_keys()
    device.page.set_up(device.environment)
    fleet.refused()
    assert device.slot("rootfs-b", len(NEW)) == before


def test_a_file_for_another_board(fleet: Fleet, device: SwupdateDevice) -> None:
    (device.page.etc / "hwrevision").write_text("board 2.0\n")
    fleet.offer(NEW, streamed=False)
    fleet.refused()


def test_a_stream_whose_digest_is_another_one(fleet: Fleet, device: SwupdateDevice) -> None:
    """It is in the slot by then, but for its end: nothing switches to it."""
    fleet.offer(NEW, streamed=True)
    fleet.updates.file.stall(2_000_000)
    fleet.updates.create(sha256="0" * 64)
    wait_until(lambda: device.slot("rootfs-b", 1_000_000) == NEW[:1_000_000])
    fleet.updates.file.release()
    assert fleet.told()[-1][:2] == ("FAILED", "verification_failed")
    assert device.slot("rootfs-b", len(NEW)) != NEW
    assert (device.booted, device.permanent) == ("rootfs-a", "rootfs-a")

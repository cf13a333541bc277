"""A disk that is full, or cannot be written to: a real small one.

It needs leave to mount a tmpfs, which root has. Without it these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.agent import Agent
from tests.support.disks import SIZE, Mount
from tests.support.files import File, FileServer
from tests.support.waiting import PATIENCE


@pytest.fixture
def firmware(files: FileServer) -> File:
    """It fills most of the disk, but fits."""
    return files.add("/image.bin", bytes(range(256)) * (SIZE // 512))


def fill(disk: Path, leave: int) -> Path:
    """Let others take the room, but for so many bytes."""
    stuff = disk / "stuff"
    with stuff.open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    os.truncate(stuff, stuff.stat().st_size - leave)
    return stuff


def the_next_job_works(updates: Updates) -> None:
    assert updates.run("job-2")[-1] == SUCCEEDED[-1]


@pytest.mark.long
def test_a_file_that_will_not_fit(mount: Mount, updates: Updates) -> None:
    """The size is known before: nothing of it is written."""
    disk = mount("disk")
    stuff = fill(disk, leave=SIZE // 4)
    updates.start(service={"download_location": disk})
    updates.create()
    end = updates.cloud.wait_for_end("job-1", timeout=60)
    assert end.state == "insufficient_storage"
    assert end.message.startswith("the disk lacks ")
    assert "install" not in updates.hooks.names()
    stuff.unlink()
    the_next_job_works(updates)


NOTES = 64 * 1024
"""Room for what is written beside the file."""


def half_way(updates: Updates, disk: Path, *, endless: bool = False, **more: object) -> Agent:
    """An agent whose download stands still, on its way to a disk; ``endless`` tells no size."""
    updates.file.stall(len(updates.file.content) // 2, endless=endless)
    device = updates.start(service={"download_location": disk})
    updates.file.fine()
    updates.create(**more)
    assert updates.file.stalled.wait(PATIENCE)
    updates.cloud.wait_for_state("job-1", "download_progress")
    return device


def test_others_cannot_take_the_room_that_was_set_aside(mount: Mount, updates: Updates) -> None:
    """Also when the agent is killed and the download goes on later."""
    disk = mount("disk")
    device = half_way(updates, disk)
    fill(disk, leave=NOTES)
    device.kill()
    device.start()
    updates.cloud.wait_for_end("job-1", timeout=60)
    updates.file.release()
    assert updates.history()[-1] == ("SUCCEEDED", "complete_soft_restart", "none")
    assert updates.installed == updates.file.content
    assert updates.file.requests[-1].range is not None


def test_others_make_room_in_time(mount: Mount, updates: Updates) -> None:
    disk = mount("disk")
    device = half_way(updates, disk, endless=True, sha256=updates.file.sha256)
    stuff = fill(disk, leave=0)
    updates.file.release()
    device.wait_for_log("No space left on device")
    stuff.unlink()
    assert updates.end(timeout=60)[-1] == SUCCEEDED[-1]
    assert updates.installed == updates.file.content
    assert updates.file.requests[-1].range is not None


def test_no_room_for_the_record(mount: Mount, updates: Updates) -> None:
    """The status details alone lead to a sound end."""
    disk = mount("disk")
    fill(disk, leave=0)
    updates.hooks.standard(restart=updates.hooks.kill_agent())
    device = updates.start(supervised=True, service={"state_dir": disk})
    assert updates.run()[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert updates.hooks.names().count("install") == 1
    assert "The record cannot be written: [Errno 28] No space left on device" in device.log


@pytest.mark.parametrize("option", ["state_dir", "download_location"])
def test_a_directory_that_cannot_be_written_to(option: str, mount: Mount, updates: Updates) -> None:
    """``upparat check`` says so. The agent does as well, and its jobs come to an end."""
    disk = mount("disk", SIZE, "ro")
    device = updates.start(service={option: disk / "upparat"})
    checked = subprocess.run(
        [str(Path(sys.executable).parent / "upparat"), "check", "-c", str(device.config_file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert checked.returncode == 2
    problem = f"[service] {option}: {disk} cannot be written to"
    assert f"upparat: {problem}\n" in checked.stderr
    device.wait_for_log(f"The configuration is wrong: {problem}\n")
    end = {
        "state_dir": SUCCEEDED[-1],
        "download_location": (
            "FAILED",
            "download_failed",
            "the file cannot be stored: Read-only file system",
        ),
    }[option]
    assert updates.run()[-1] == end

"""Machines that boot take minutes, root and the images: ``make device-test`` collects them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from upparat.local.aws import LocalAws

from .world import DeviceWorld

collect_ignore = (
    [] if os.environ.get("UPPARAT_DEVICE") == "1" else ["test_troubles.py", "test_updates.py"]
)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    with LocalAws(tmp_path / "aws") as aws:
        yield aws


@pytest.fixture
def world(aws: LocalAws, tmp_path: Path) -> Iterator[DeviceWorld]:
    """A device that is off."""
    world = DeviceWorld(aws, tmp_path / "device")
    with world.machine:
        yield world
    print(world.machine.console[-20_000:])

"""Machines that boot take minutes, root and the images: ``make device-test`` collects them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from upparat.local.aws import LocalAws

from .world import DeviceWorld, MakeWorld

collect_ignore = (
    []
    if os.environ.get("UPPARAT_DEVICE") == "1"
    else ["test_rauc.py", "test_troubles.py", "test_updates.py"]
)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    with LocalAws(tmp_path / "aws") as aws:
        yield aws


@pytest.fixture
def device(aws: LocalAws, tmp_path: Path) -> Iterator[MakeWorld]:
    """Make a device that is off."""
    with ExitStack() as stack:

        def make(**options: object) -> DeviceWorld:
            world = DeviceWorld(aws, tmp_path / "device", **options)  # type: ignore[arg-type]
            stack.enter_context(world.machine)
            stack.callback(lambda: print(world.machine.console[-20_000:]))
            return world

        yield make


@pytest.fixture
def world(device: MakeWorld) -> DeviceWorld:
    """A device that is off."""
    return device()

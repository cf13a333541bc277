"""Finds the agent that works in a state directory, without taking its lock."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from upparat.private import PrivateDirectory
from upparat.storage.lock import NAME, find_holder

PROCESSES = Path("/proc")


def find_agent(state_dir: Path) -> str:
    """Return the process that has locked the directory, or an empty text.

    To try the lock would take it for a moment, and an agent that starts just then would give up.
    """
    for path in (state_dir, state_dir / NAME):
        with suppress(OSError):
            if holder := find_holder(path.stat()):
                return holder
    return _signed(state_dir)


def _signed(state_dir: Path, processes: Path = PROCESSES) -> str:
    """The process that the lock file names: a daemon that has forked is not in ``/proc/locks``."""
    try:
        pid = PrivateDirectory(state_dir).read(NAME).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    held = any(_same(each, state_dir) for each in _descriptors(processes / pid)) if pid else False
    return f"process {pid}" if held else ""


def _descriptors(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:  # it has ended, or is another user's
        return []


def _same(descriptor: Path, state_dir: Path) -> bool:
    """Whether a process has the directory, or its lock file, open."""
    for path in (state_dir, state_dir / NAME):
        with suppress(OSError):
            if os.path.samestat(descriptor.stat(), path.stat()):
                return True
    return False

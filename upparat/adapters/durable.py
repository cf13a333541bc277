"""What a file has to do with power cuts."""

from __future__ import annotations

import os
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""A random id that Linux makes at every boot (man 5 proc_sys_kernel)."""


def read_boot_id(path: Path = BOOT_ID) -> str:
    """The id of this boot; empty if there is none to be had."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def sync_directory(path: Path) -> None:
    """Make what was created, renamed or removed in a directory last.

    :raises OSError: if that cannot be had.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

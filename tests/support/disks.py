"""Small disks in memory. To mount one takes root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

SIZE = 4 * 1024 * 1024


class Mount(Protocol):
    """Makes a disk."""

    def __call__(self, name: str, size: int = SIZE, *options: str) -> Path: ...


@contextmanager
def mounting(directory: Path) -> Iterator[Mount]:
    """Mount disks in a directory until the context ends; without leave to mount the test is
    skipped."""
    mounted: list[Path] = []

    def make(name: str, size: int = SIZE, *options: str) -> Path:
        path = directory / name
        path.mkdir()
        how = ",".join([f"size={size}", "mode=0700", *options])
        command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a tmpfs cannot be mounted: run the tests as root")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        # An agent of the test may still be on its way out.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(disk: Path, how: str) -> bool:
    """Mount a disk read-only or writable; whether that worked."""
    command = ["mount", "-o", f"remount,{how}", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

"""Waiting and looking at processes, for tests with real ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0


def wait_until(condition: Callable[[], object]) -> None:
    """Block until the condition holds; fail after ``PATIENCE`` seconds."""
    assert comes_true(condition), "it does not happen"


def comes_true(condition: Callable[[], object]) -> bool:
    """Block until the condition holds. Returns whether it does within ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def listens(host: str, port: int) -> bool:
    """Whether a connection is taken there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def runs(pid: int) -> bool:
    """Whether a process lives; one that is dead but not collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"

"""Work on the disk that others may have to wait for.

A slow disk can hold up a sync, a rename or the removal of a file for many seconds. The reactor's
thread waits meanwhile. :func:`waiting_since` tells the watchdog's thread so.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNKNOWN = (errno.EINVAL, errno.ENOTSUP)
"""Errors of a file system that has no sync for directories."""

_since: float | None = None


@contextmanager
def disk_work() -> Iterator[None]:
    """Mark that this thread works on the disk; only the main thread's work counts.

    The outermost mark counts, because several waits in a row are one wait for the reactor.
    """
    global _since
    if _since is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _since = time.monotonic()
    try:
        yield
    finally:
        _since = None


def waiting_since() -> float | None:
    """The monotonic time, in seconds, at which the main thread's work on the disk began; ``None``
    if there is none. Any thread may ask."""
    return _since


def sync_directory(directory: Path | int) -> None:
    """Write a directory to the disk: the files created, renamed or removed in it stay so after a
    power cut. A file system that cannot sync directories is trusted to order its writes.

    :param directory: its path, or a descriptor of it.
    :raises OSError: if the directory cannot be opened or synced.
    """
    if isinstance(directory, int):
        _sync(directory)
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise

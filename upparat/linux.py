"""What the C library can do, and Python has no call for: room for a file that grows, bytes on their
way to the disk before anybody waits for them, memory that nobody needs any more.

All of it is a help and not a need: where the library or the file system cannot, or Python was built
without ctypes, nothing happens.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_KEEP_SIZE = 1
"""``FALLOC_FL_KEEP_SIZE``: the file ends where it ended."""

_WRITE = 2
"""``SYNC_FILE_RANGE_WRITE``: begin to write, and wait for nothing."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_FALLOCATE = ("c_int", "c_int", "c_int64", "c_int64")
_SYNC_FILE_RANGE = ("c_int", "c_int64", "c_int64", "c_uint")
_MALLOC_TRIM = ("c_size_t",)


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


def reserve(descriptor: int, begin: int, end: int) -> None:
    """Set room aside for these bytes of a file, which does not get longer by that: fallocate(2).

    It also spares the file system to look for room with each write.

    :raises OSError: if there is no room.
    """
    # On 32 bits the plain name may mean offsets of 32 bits.
    call = _function("fallocate64", *_FALLOCATE) or _function("fallocate", *_FALLOCATE)
    if call is None or begin >= end:
        return
    if call(descriptor, _KEEP_SIZE, begin, end - begin):
        number = _errno()
        if number in _NO_ROOM:
            raise OSError(number, os.strerror(number))


def begin_writing(descriptor: int, begin: int, end: int) -> None:
    """Have these bytes of a file written to the disk from now on: sync_file_range(2).

    Linux would let them wait for half a minute or for the sync, which then takes its time. This
    makes nothing durable.
    """
    call = _function("sync_file_range", *_SYNC_FILE_RANGE)
    if call is not None:
        call(descriptor, begin, end - begin, _WRITE)


def give_back_memory() -> None:
    """Let the system have the memory that imports and downloads have left: malloc_trim(3)."""
    call = _function("malloc_trim", *_MALLOC_TRIM)
    if call is not None:
        call(0)


@cache
def _function(name: str, *kinds: str) -> Callable[..., int] | None:
    """One of libc, if it has it, that takes ctypes of these kinds; calls release the GIL."""
    try:
        import ctypes
    except ImportError:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        function.argtypes = [getattr(ctypes, kind) for kind in kinds]
    return function


def _errno() -> int:
    from ctypes import get_errno

    return get_errno()

"""What the C library can do, and Python has no call for: room for a file that grows, bytes on their
way to the disk before anybody waits for them, memory that nobody needs any more.

All of it is a help and not a need: where the library or the file system cannot, nothing happens.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

_KEEP_SIZE = 1
"""``FALLOC_FL_KEEP_SIZE``: the file ends where it ended."""

_WRITE = 2
"""``SYNC_FILE_RANGE_WRITE``: begin to write, and wait for nothing."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def reserve(descriptor: int, begin: int, end: int) -> None:
    """Set room aside for these bytes of a file, which does not get longer by that: fallocate(2).

    It also spares the file system to look for room with each write.

    :raises OSError: if there is no room.
    """
    call = _function("fallocate64") or _function("fallocate")  # 64 bits for offsets everywhere
    if call is None or begin >= end:
        return
    size = ctypes.c_int64(end - begin)
    if call(descriptor, _KEEP_SIZE, ctypes.c_int64(begin), size):
        number = ctypes.get_errno()
        if number in _NO_ROOM:
            raise OSError(number, os.strerror(number))


def begin_writing(descriptor: int, begin: int, end: int) -> None:
    """Have these bytes of a file written to the disk from now on: sync_file_range(2).

    Linux would let them wait for half a minute or for the sync, which then takes its time. This
    makes nothing durable.
    """
    call = _function("sync_file_range")
    if call is not None:
        size = ctypes.c_int64(end - begin)
        call(descriptor, ctypes.c_int64(begin), size, ctypes.c_uint(_WRITE))


def give_back_memory() -> None:
    """Let the system have the memory that imports and downloads have left: malloc_trim(3)."""
    call = _function("malloc_trim")
    if call is not None:
        call(ctypes.c_size_t(0))


@cache
def _function(name: str) -> ctypes._NamedFuncPointer | None:
    """One of libc, if it has it; calls release the GIL."""
    return getattr(ctypes.CDLL(None, use_errno=True), name, None)

"""Calls of Linux and its C library that Python lacks.

They reserve room for a growing file, begin to write bytes to the disk, and save memory. The agent
works without them, but slower and with more memory. Where Python has no working ctypes, or the C
library or the file system lacks the call, they do nothing. They never raise, except
:func:`reserve` if the disk has no room.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_KEEP_SIZE = 1
"""``FALLOC_FL_KEEP_SIZE``: the length of the file does not change."""

_WRITE = 2
"""``SYNC_FILE_RANGE_WRITE``: begin to write, and wait for nothing."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_FALLOCATE = ("c_int", "c_int", "c_int64", "c_int64")
_SYNC_FILE_RANGE = ("c_int", "c_int64", "c_int64", "c_uint")
_MALLOC_TRIM = ("c_size_t",)
_MALLOPT = ("c_int", "c_int")

_ARENA_MAX = -8
"""``M_ARENA_MAX``: how many arenas glibc's malloc has. A thread takes memory from one of them."""

_ARENAS = 3
"""Arenas for the reactor, and for one thread that reads and one that writes. With two of them, a
delta was slower."""


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""A random id that Linux makes at every boot (man 5 proc_sys_kernel)."""


def read_boot_id(path: Path = BOOT_ID) -> str:
    """Read the id of this boot.

    An empty id means that the boot is unknown: two empty ids do not prove the same boot.
    """
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def reserve(descriptor: int, begin: int, end: int) -> None:
    """Reserve room on the disk for the bytes from ``begin`` to ``end`` of a file: fallocate(2).

    The length of the file does not change. Later writes are faster, because the file system need
    not look for room.

    :raises OSError: ``ENOSPC``, ``EDQUOT`` or ``EFBIG``, if there is no room.
    """
    if begin >= end:
        return
    # On 32 bits, the offsets of the plain name may have 32 bits only.
    function = _function("fallocate64", *_FALLOCATE) or _function("fallocate", *_FALLOCATE)
    number = _try(function, descriptor, _KEEP_SIZE, begin, end - begin)
    if number in _NO_ROOM:
        raise OSError(number, os.strerror(number))


def begin_writing(descriptor: int, begin: int, end: int) -> None:
    """Begin to write the bytes from ``begin`` to ``end`` of a file to the disk: sync_file_range(2).

    Otherwise Linux would keep them for half a minute or until the sync, which would take long. This
    makes nothing durable.
    """
    function = _function("sync_file_range", *_SYNC_FILE_RANGE)
    _try(function, descriptor, begin, end - begin, _WRITE)


def give_back_memory() -> None:
    """Give memory that imports and downloads have freed back to the system: malloc_trim(3)."""
    _try(_function("malloc_trim", *_MALLOC_TRIM), 0)


def share_memory() -> None:
    """Let threads share the memory that they have freed: mallopt(3).

    Otherwise each thread keeps some MiB for itself once it has freed a large piece.
    """
    _try(_function("mallopt", *_MALLOPT), _ARENA_MAX, _ARENAS)


@cache
def _function(name: str, *kinds: str) -> Callable[..., int] | None:
    """Find a function of the C library that takes ctypes of these kinds; a call releases the GIL.

    Returns ``None`` if there is none. ctypes fails in many ways: it may be missing, its import may
    fail, and a statically linked Python can load no library.
    """
    try:
        import ctypes

        function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
        if function is not None:
            function.argtypes = [getattr(ctypes, kind) for kind in kinds]
    except Exception:
        return None
    return function


def _try(function: Callable[..., int] | None, *arguments: int) -> int:
    """Call the function, if there is one. Returns the errno if it fails by it, otherwise 0."""
    if function is None:
        return 0
    try:
        return _errno() if function(*arguments) else 0
    except Exception:
        return 0


def _errno() -> int:
    from ctypes import get_errno

    return get_errno()

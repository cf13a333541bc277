"""The dynamic linker that a program of Linux names: see elf(5)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

MAGIC = b"\x7fELF"

_INTERPRETER = 3
"""``PT_INTERP``: the segment that holds the path of the linker."""

_LONGEST = 4096


def linker_of(program: Path) -> str:
    """The path of the linker; empty if the program is static, or no program.

    :raises OSError: if the program cannot be read.
    """
    with program.open("rb") as stream:
        head = stream.read(64)
        try:
            begin, size, count, wide, order = _segments(head)
        except (struct.error, IndexError):
            return ""
        for index in range(count):
            stream.seek(begin + index * size)
            kind, offset, length = _segment(stream.read(size), wide, order)
            if kind == _INTERPRETER:
                stream.seek(offset)
                return os.fsdecode(stream.read(min(length, _LONGEST)).rstrip(b"\0"))
    return ""


def _segments(head: bytes) -> tuple[int, int, int, bool, str]:
    """Where the segments are listed, the size and the number of the entries, and how to read."""
    wide, order = head[4] == 2, ">" if head[5] == 2 else "<"
    (begin,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    return begin, size, count, wide, order


def _segment(entry: bytes, wide: bool, order: str) -> tuple[int, int, int]:
    """Kind, offset and length of a segment; no kind if the file is cut short."""
    shape = f"{order}IIQQQQ" if wide else f"{order}IIIII"
    if len(entry) < struct.calcsize(shape):
        return 0, 0, 0
    words = struct.unpack_from(shape, entry)
    return (words[0], words[2], words[5]) if wide else (words[0], words[1], words[4])

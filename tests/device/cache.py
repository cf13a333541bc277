"""A disk with a write cache that a power cut empties."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self

PAGE = 4096
MAX_DIRTY = 8192
"""Pages that the cache holds at the most: 32 MiB. A fuller one writes out its oldest pages."""


@dataclass(frozen=True)
class Loss:
    """What a power cut did to the cache: pages that got to the disk by luck, and pages lost."""

    kept: int
    lost: int


class CachedDisk:
    """A file whose writes count only once they are flushed.

    Real disks and eMMC chips have such a cache. What was written and not flushed gets to the disk
    in any order, or not at all. The unit is a page of 4 KiB, which is never torn.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._file).st_size
        self._dirty: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        os.close(self._file)

    def read(self, offset: int, length: int) -> bytes:
        first, last = offset // PAGE, -(-(offset + length) // PAGE)
        data = bytearray(os.pread(self._file, (last - first) * PAGE, first * PAGE))
        for number in range(first, last):
            page = self._dirty.get(number)
            if page is not None:
                start = (number - first) * PAGE
                data[start : start + PAGE] = page
        start = offset - first * PAGE
        return bytes(data[start : start + length])

    def write(self, offset: int, data: bytes, through: bool = False) -> None:
        """Write to the cache; ``through`` also to the disk (FUA)."""
        first, last = offset // PAGE, -(-(offset + len(data)) // PAGE)
        start, end = offset - first * PAGE, last * PAGE - offset - len(data)
        if start or end:
            head, tail = self.read(first * PAGE, start), self.read(offset + len(data), end)
            data = head + data + tail
        for number in range(first, last):
            begin = (number - first) * PAGE
            self._dirty.pop(number, None)
            self._dirty[number] = data[begin : begin + PAGE]
            if through:
                self._write_out(number)
        while len(self._dirty) > MAX_DIRTY:
            self._write_out(next(iter(self._dirty)))

    def flush(self) -> None:
        for number in sorted(self._dirty):
            self._write_out(number)

    def cut_power(self, dice: Random) -> Loss:
        """Empty the cache. Each page gets to the disk with a chance that is cast once a cut."""
        chance = dice.choice((0.0, 0.0, 0.5, 0.9))
        pages = list(self._dirty)
        kept = [number for number in pages if dice.random() < chance]
        for number in kept:
            self._write_out(number)
        self._dirty.clear()
        return Loss(len(kept), len(pages) - len(kept))

    def _write_out(self, number: int) -> None:
        os.pwrite(self._file, self._dirty.pop(number), number * PAGE)

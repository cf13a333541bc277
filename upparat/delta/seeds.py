"""The seeds: block devices and files that hold chunks of the new file. They are only read."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from .header import Checksum, Chunk, Header
from .tables import Table, places, short


class Seeds:
    """The chunks of a file that the seeds should have, by the tables of earlier updates.

    Whatever a seed gives is checked, and a chunk that has changed meanwhile counts as missing. The
    check is the chunk's CRC-32 if it is known: without instructions for SHA-256 a CPU takes eight
    times as long for the digest. One changed chunk of four billion passes. Then the digest of the
    whole file tells.

    :param paths: one that cannot be read is skipped.
    :param tables: the newest first.
    :ivar sums: those that are known: the CRC-32 of each chunk by :func:`.tables.short`.
    """

    def __init__(self, paths: Sequence[Path], tables: Sequence[Table], header: Header) -> None:
        self.sums: dict[bytes, int] = {}
        self._paths = [path for path in paths if _readable(path)]
        self._checksum: Checksum = header.checksum
        self._offsets: dict[bytes, tuple[int, ...]] = {}
        if self._paths:
            self._offsets = dict.fromkeys(map(short, header.chunks), ())
            self._look_up(tables)

    def _look_up(self, tables: Sequence[Table]) -> None:
        for table in tables:
            seen = set()
            for digest, offset, known in places(table, self._offsets):
                if digest in seen:  # zeros, for one, are in many places: one of them will do
                    continue
                seen.add(digest)
                if known:
                    self.sums[digest] = known
                if offset not in self._offsets[digest]:
                    self._offsets[digest] += (offset,)

    def __bool__(self) -> bool:
        """Whether there is a seed at all."""
        return bool(self._paths)

    def promise(self, chunk: Chunk) -> bool:
        """Whether a seed should have this chunk."""
        return bool(self._offsets.get(short(chunk)))

    def probe(self, chunks: Sequence[Chunk]) -> int:
        """Look for chunks at the places that the new file has them. Call it in a thread.

        Returns how many were found. Those are promised from now on.
        """
        found = 0
        with ExitStack() as stack:
            seeds = list(self._opened(stack))
            for chunk in chunks:
                if any(self._row(seed, [chunk], chunk.offset) is not None for seed in seeds):
                    self._offsets[short(chunk)] += (chunk.offset,)
                    found += 1
        return found

    def read(self, chunks: Sequence[Chunk]) -> list[bytes | None]:
        """Read chunks; ``None`` for one that no seed has any more. Call it in a thread."""
        with ExitStack() as stack:
            seeds = list(self._opened(stack))
            return [self._read(seeds, chunk) for chunk in chunks]

    def read_row(self, chunks: Sequence[Chunk]) -> bytes | None:
        """Read chunks at once that lie in a row in the first seed, as most do; ``None`` if these do
        not. Call it in a thread.

        :param chunks: in the order of the file; the first one is promised.
        """
        with ExitStack() as stack:
            seed = next(self._opened(stack), None)
            offset = self._offsets[short(chunks[0])][0]
            return None if seed is None else self._row(seed, chunks, offset)

    def learn(self, chunk: Chunk, content: bytes | memoryview) -> None:
        """Know the sum of a chunk from now on. Call it in a thread.

        :param content: has the digest of the chunk.
        """
        self.sums[short(chunk)] = zlib.crc32(content)

    def _opened(self, stack: ExitStack) -> Iterator[int]:
        for path in self._paths:
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                stack.callback(os.close, descriptor)
                yield descriptor

    def _read(self, seeds: list[int], chunk: Chunk) -> bytes | None:
        for offset in self._offsets.get(short(chunk), ()):
            for place, seed in enumerate(seeds):
                data = self._row(seed, [chunk], offset)
                if data is not None:
                    self._prefer(seeds, place)
                    return data
        return None

    def _prefer(self, seeds: list[int], place: int) -> None:
        """Ask this seed first from now on: it is the slot that runs."""
        if place and len(seeds) == len(self._paths):
            seeds.insert(0, seeds.pop(place))
            self._paths.insert(0, self._paths.pop(place))

    def _row(self, seed: int, chunks: Sequence[Chunk], offset: int) -> bytes | None:
        """Read chunks that lie in a row from this offset on; ``None`` if one is not there."""
        begin, end = chunks[0].offset, chunks[-1].offset + chunks[-1].length
        data = _bytes_at(seed, end - begin, offset)
        if len(data) < end - begin:
            return None
        view = memoryview(data)
        right = (self._is(chunk, view[chunk.offset - begin :][: chunk.length]) for chunk in chunks)
        return data if all(right) else None

    def _is(self, chunk: Chunk, content: memoryview) -> bool:
        """Whether this is the content of the chunk."""
        known = self.sums.get(short(chunk))
        if known is not None:
            return zlib.crc32(content) == known
        if self._checksum.of(content) != chunk.digest:
            return False
        self.learn(chunk, content)
        return True


def _readable(path: Path) -> bool:
    """Whether this is a block device or a file; to open anything else might do something."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return stat.S_ISBLK(mode) or stat.S_ISREG(mode)
    return False


def _bytes_at(descriptor: int, length: int, offset: int) -> bytes:
    with suppress(OSError):
        return os.pread(descriptor, length, offset)
    return b""

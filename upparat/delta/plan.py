"""The plan of a delta: which chunks are fetched, and in which ranges. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .header import Chunk, Header

GAP = 1 << 14
"""Bytes between two ranges that are fetched along: a request of its own would cost more time."""

SPAN = 96 << 10
"""Packed bytes of one range at the most, unless one chunk has more. Ranges come to their use in
order: long ones on a slow line keep the other lines waiting, and short ones cost more requests."""

PIECE = 1 << 20
"""Bytes of the file that are put together at a time, unless one chunk has more. 4 MiB take up to
20 MiB more memory, and no less time."""


class Span(NamedTuple):
    """Chunks that one request fetches.

    :ivar first: the number of its first chunk.
    :ivar last: the number of the chunk behind its last one.
    :ivar begin: where its bytes begin in the zchunk file.
    :ivar end: where they end.
    """

    first: int
    last: int
    begin: int
    end: int


class Run(NamedTuple):
    """Chunks in a row that the seeds have, from ``first`` up to the one before ``last``."""

    first: int
    last: int


@dataclass(frozen=True)
class DeltaPlan:
    """The ranges to fetch; all chunks beside them come from the seeds."""

    header: Header
    spans: tuple[Span, ...]

    @property
    def fetched(self) -> int:
        """Bytes that the ranges have."""
        return sum(span.end - span.begin for span in self.spans)

    def reused(self, length: int) -> int:
        """Bytes from seeds among the first ``length`` bytes of the file."""
        chunks = self.header.chunks[: chunk_at(self.header.chunks, length)]
        fetched = sum(
            chunk.length for span in self.spans for chunk in chunks[span.first : span.last]
        )
        return sum(chunk.length for chunk in chunks) - fetched

    def pieces(self, length: int) -> Iterator[Span | Run]:
        """All that is missing once ``length`` bytes of the file are there, in order. The first
        piece may begin before."""
        first, chunks = chunk_at(self.header.chunks, length), self.header.chunks
        for span in self.spans:
            if span.last <= first:
                continue
            yield from runs(chunks, first, span.first)
            yield trimmed(chunks, span, first)
            first = span.last
        yield from runs(chunks, first, len(chunks))


def make_plan(header: Header, missing: Collection[int], gap: int = GAP) -> DeltaPlan:
    """Plan to fetch these chunks.

    :param missing: the numbers of chunks that no seed has.
    :param gap: bytes between two ranges that are fetched along.
    """
    return DeltaPlan(header, tuple(spans_of(header.chunks, sorted(missing), gap)))


def spans_of(chunks: Sequence[Chunk], missing: Sequence[int], gap: int = 0) -> Iterator[Span]:
    """Merge chunks into spans.

    :param missing: the numbers of the chunks, rising.
    """
    span: Span | None = None
    for number in missing:
        if span is not None and _joins(chunks, span, number, gap):
            span = span._replace(last=number + 1, end=chunks[number].end)
            continue
        if span is not None:
            yield span
        span = Span(number, number + 1, chunks[number].begin, chunks[number].end)
    if span is not None:
        yield span


def _joins(chunks: Sequence[Chunk], span: Span, number: int, gap: int) -> bool:
    chunk = chunks[number]
    return (
        chunk.begin - span.end <= gap
        and chunk.end - span.begin <= SPAN
        and chunk.offset + chunk.length - chunks[span.first].offset <= PIECE
    )


def runs(chunks: Sequence[Chunk], first: int, last: int) -> Iterator[Run]:
    """Cut a row of chunks into runs of :data:`PIECE` bytes at the most."""
    begin = first
    for number in range(first, last):
        chunk = chunks[number]
        if number > begin and chunk.offset + chunk.length - chunks[begin].offset > PIECE:
            yield Run(begin, number)
            begin = number
    if begin < last:
        yield Run(begin, last)


def trimmed(chunks: Sequence[Chunk], span: Span, first: int) -> Span:
    """Leave out the chunks of a span that come before ``first``."""
    return span if first <= span.first else span._replace(first=first, begin=chunks[first].begin)


def chunk_at(chunks: Sequence[Chunk], length: int) -> int:
    """The number of the first chunk that the first ``length`` bytes of the file do not hold."""
    return bisect_right(chunks, length, key=lambda chunk: chunk.offset + chunk.length)

"""The delta of one execution: its header, and what has come so far, attempt after attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from upparat.download.response import Permanent
from upparat.download.shortcut import Journey
from upparat.job import ExecutionKey

from .assemble import Assembly
from .header import LEAD, DeltaError, Header, parse_header, parse_lead
from .lines import LINES, Line, LineFactory, NotFetched, Source, SpanFetcher, fetch_range
from .plan import Span, chunk_at, runs
from .seeds import Seeds
from .tables import Table

FIRST = 12 << 10
"""Bytes of the first request. A server sends so many before TCP waits for the first
acknowledgement: ten segments (RFC 6928)."""

PART = 1 << 14
"""Bytes of the header that each of the next requests asks for, at the least."""

PROBED = 1 << 26
"""The agent looks for unknown chunks in the seeds until more bytes in a row than these
are not there."""

PROBED_PART = 4
"""It also stops once more than a quarter of the unknown bytes are not there. If few chunks are
unknown, they are new, and the agent would read the seeds for nothing."""


class DeltaRun:
    """Brings one file. What has come outlives an attempt that breaks off.

    :param paths: of the seeds.
    :param tables: of the chunks that the seeds may have.
    :ivar assembly: there once the header is.
    :ivar finished: the file has all of its bytes.
    :ivar refused_at: the length of the file when the server last refused the URL.
    """

    def __init__(
        self,
        key: ExecutionKey,
        connect: LineFactory,
        paths: Sequence[Path],
        tables: Sequence[Table],
    ) -> None:
        self.key = key
        self.assembly: Assembly | None = None
        self.finished = False
        self.refused_at: int | None = None
        self._connect = connect
        self._paths = paths
        self._tables = tables
        self._source = Source("")
        self._stock: dict[Span, bytes] = {}

    async def attempt(self, journey: Journey, url: str) -> None:
        """Bring what is missing.

        :param url: of the zchunk file.
        :raises NotFetched: if the server does not send what is asked for.
        :raises DeltaError: if the delta is of no use.
        :raises DiskError: if the disk refuses.
        """
        self._source = replace(self._source, url=url)
        with ExitStack() as stack:
            lines = [self._connect() for _ in range(LINES)]
            for line in lines:
                stack.callback(line.close)
            assembly = self.assembly or await self._prepare(journey, lines)
            spans = assembly.begin(journey)
            fetcher = SpanFetcher(lines, self._source, spans, self._stock)
            stack.callback(fetcher.close)
            await assembly.bring(journey, fetcher)
        self.finished = True

    async def _prepare(self, journey: Journey, lines: Sequence[Line]) -> Assembly:
        header = await self._fetch_header(journey, lines)
        if journey.job.size not in (None, header.size):
            raise DeltaError(f"it holds {header.size} bytes, and size is {journey.job.size}")
        seeds = await journey.work.run(lambda: Seeds(self._paths, self._tables, header))
        await self._probe(journey, header, seeds)
        # Its table serves the next update, even if this one is not worth the while.
        self.assembly = await journey.work.run(lambda: Assembly(header, seeds))
        if not self.assembly.pays:
            raise DeltaError("it costs as many bytes as the file")
        return self.assembly

    async def _probe(self, journey: Journey, header: Header, seeds: Seeds) -> None:
        """Look for chunks that no table knows, within :data:`PROBED` and :data:`PROBED_PART`.

        They are there if a stream into a seed was cut off, or the table is lost and little has
        moved.
        """
        wanted = header.chunks[chunk_at(header.chunks, journey.partial.length) :]
        unknown = [chunk for chunk in wanted if not seeds.promise(chunk)] if seeds else []
        patience = min(PROBED, sum(chunk.length for chunk in unknown) // PROBED_PART)
        missed = 0
        for run in runs(unknown, 0, len(unknown)):
            chunks = unknown[run.first : run.last]
            found = await journey.work.run(partial(seeds.probe, chunks))
            missed = 0 if found else missed + sum(chunk.length for chunk in chunks)
            if missed > patience:
                return

    async def _fetch_header(self, journey: Journey, lines: Sequence[Line]) -> Header:
        scope = journey.work.scope
        data, source = await fetch_range(lines[-1], scope, self._source, 0, FIRST)
        end = parse_lead(data[:LEAD]).end
        parts = list(_parts(len(data), min(end, source.total or end)))
        fetcher = SpanFetcher(lines, source, parts, {})
        try:
            data = b"".join([data, *[await scope.wait(fetcher.take(part)) for part in parts]])
        finally:
            fetcher.close()
        header = await journey.work.run(lambda: parse_header(data[:end]))
        if header.total != source.total:
            raise NotFetched(Permanent(f"it has {source.total} bytes instead of {header.total}"))
        self._source = source
        return header


def _parts(begin: int, end: int) -> Iterator[Span]:
    """Cut the rest of the header into a part for each line. TCP begins slowly on each of them, so
    all bring it together sooner than one."""
    size = max(PART, -(-(end - begin) // LINES))
    for cut in range(begin, end, size):
        yield Span(0, 0, cut, min(cut + size, end))

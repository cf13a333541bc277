"""The new file, put together in order of chunks from the seeds and of chunks that are fetched."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed

from upparat.download.partial import DiskError
from upparat.download.response import Body
from upparat.download.shortcut import Journey

from .header import Chunk, DeltaError, Header
from .lines import SpanFetcher
from .plan import DeltaPlan, Run, Span, make_plan, spans_of
from .seeds import Seeds
from .tables import Table, table_of
from .unpack import unpack_span


class Assembly:
    """One file, over any number of attempts.

    :ivar reused: bytes of the file that came from seeds.
    :ivar fetched: bytes of chunks that were fetched.
    """

    def __init__(self, header: Header, seeds: Seeds) -> None:
        self.header = header
        self.reused = 0
        self.fetched = 0
        chunks = enumerate(header.chunks)
        missing = [number for number, chunk in chunks if not seeds.promise(chunk)]
        self._plan: DeltaPlan = make_plan(header, missing)
        self._seeds = seeds
        self._begun = False

    @property
    def pays(self) -> bool:
        """Whether it needs fewer bytes than the file has."""
        return self._plan.fetched + self.header.length < self.header.size

    @property
    def table(self) -> Table:
        """The table of the file, for the next update."""
        return table_of(self.header, self._seeds.sums)

    def begin(self, journey: Journey) -> list[Span]:
        """Measure what is there, and return the spans that are planned for the rest.

        :raises DeltaError: if it is not the beginning of this file.
        :raises DiskError: if the file will not fit.
        """
        partial = journey.partial
        if partial.length > self.header.size:
            raise DeltaError("there are more bytes than it holds")
        if not partial.length or not self._begun:
            self.reused, self.fetched = self._plan.reused(partial.length), 0
        if not self._begun:
            journey.on_data(self.header.length)
        self._begun = True
        partial.begin(Body(partial.length, "", self.header.size))
        pieces = self._plan.pieces(partial.length)
        return [piece for piece in pieces if isinstance(piece, Span)]

    async def bring(self, journey: Journey, fetcher: SpanFetcher) -> None:
        """Bring all that is missing. One piece is written while the next one is fetched or read.

        :raises NotFetched: if the server does not send what is asked for.
        :raises DeltaError: if a chunk is wrong.
        :raises DiskError: if the disk refuses.
        """
        put: Deferred[None] = succeed(None)
        for piece in self._plan.pieces(journey.partial.length):
            try:
                parts, reused = await self._parts(journey, fetcher, piece)
            finally:
                await put
            offset = self.header.chunks[piece.first].offset
            put = Deferred.fromCoroutine(self._put(journey, offset, parts, reused))
        await put

    async def _parts(
        self, journey: Journey, fetcher: SpanFetcher, piece: Span | Run
    ) -> tuple[Sequence[bytes], int]:
        """Return the chunks of a piece, and how many of their bytes come from seeds."""
        if isinstance(piece, Span):
            return await self._fetch(journey, fetcher, piece), 0
        return await self._read(journey, fetcher, piece)

    async def _fetch(self, journey: Journey, fetcher: SpanFetcher, span: Span) -> Sequence[bytes]:
        data = await journey.work.scope.wait(fetcher.take(span))
        self.fetched += len(data)
        journey.on_data(len(data))
        return await journey.work.run(lambda: self._unpacked(span, data))

    def _unpacked(self, span: Span, data: bytes) -> Sequence[bytes]:
        chunks = self.header.chunks[span.first : span.last]
        parts = list(unpack_span(self.header, span, data))
        for chunk, content in zip(chunks, parts, strict=True):
            self._seeds.learn(chunk, content)
        return parts

    async def _read(
        self, journey: Journey, fetcher: SpanFetcher, run: Run
    ) -> tuple[Sequence[bytes], int]:
        """Read chunks from the seeds, and fetch those that no seed has any more."""
        wanted = self.header.chunks[run.first : run.last]
        parts = await journey.work.run(lambda: self._from_seeds(wanted))
        found = dict(enumerate(parts, run.first))
        reused = sum(len(data) for data in found.values() if data is not None)
        missing = [number for number, data in found.items() if data is None]
        for span in spans_of(self.header.chunks, missing):
            fetched = await self._fetch(journey, fetcher, span)
            found.update(zip(range(span.first, span.last), fetched, strict=True))
        return [data for data in found.values() if data is not None], reused

    def _from_seeds(self, wanted: Sequence[Chunk]) -> Sequence[bytes | None]:
        """Read chunks one by one, or all in one part if they lie in a row."""
        row = self._seeds.read_row(wanted)
        return self._seeds.read(wanted) if row is None else [row]

    async def _put(
        self, journey: Journey, offset: int, parts: Sequence[bytes], reused: int
    ) -> None:
        """Put parts that begin at this offset of the file, but for what is there already."""
        self.reused += reused  # before: the progress is told meanwhile
        try:
            await journey.put(b"".join(parts)[journey.partial.length - offset :])
        except OSError as error:
            self.reused -= reused  # the next attempt reads them again
            raise DiskError(error) from None
        journey.work.scope.check()

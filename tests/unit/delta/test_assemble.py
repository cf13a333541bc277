"""Files out of seeds and fetched chunks: the right bytes, or none."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.bench import summed, zchunk
from tests.unit.delta.lines_bench import URL, FakeServer, MemorySink, Reply, make_journey
from upparat.delta import plan
from upparat.delta.assemble import Assembly
from upparat.delta.header import DeltaError, parse_header
from upparat.delta.lines import NotFetched, Source, SpanFetcher
from upparat.delta.run import DeltaRun
from upparat.delta.seeds import Seeds
from upparat.delta.tables import table_of
from upparat.download.partial import DiskError, FileMismatch
from upparat.download.shortcut import Journey

CHUNKS = [bytes([each]) * 1000 for each in range(8)]
NEW = b"".join(CHUNKS)


class AssemblyTests(SynchronousTestCase):
    """The seed has the chunks 0, 1, 4, 5 and 6."""

    def setUp(self) -> None:
        self.patch(plan, "SPAN", 30)
        self.server = FakeServer(zchunk(CHUNKS))
        self.header = parse_header(self.server.content)
        old = [*CHUNKS[4:7], b"old", *CHUNKS[:2]]
        self.seed = Path(self.mktemp())
        self.seed.write_bytes(b"".join(old))
        seeds = Seeds([self.seed], [table_of(parse_header(zchunk(old)))], self.header)
        self.assembly = Assembly(self.header, seeds)
        self.sink = MemorySink()

    def bring(self, journey: Journey | None = None) -> Deferred[None]:
        self.journey = journey or make_journey(self.sink)
        spans = self.assembly.begin(self.journey)
        fetcher = SpanFetcher([self.server()], Source(URL), spans, {})
        return Deferred.fromCoroutine(self.assembly.bring(self.journey, fetcher))

    def size(self, *numbers: int) -> int:
        return sum(self.header.chunks[number].packed for number in numbers)

    def test_all_of_it(self) -> None:
        self.successResultOf(self.bring())
        self.assertEqual((self.sink.content, self.sink.room), (NEW, len(NEW)))
        self.assertEqual((self.assembly.reused, self.assembly.fetched), (5000, self.size(2, 3, 7)))
        self.assertEqual(len(self.server.asked), 3)

    def test_only_what_came_over_the_line_counts_as_data(self) -> None:
        counts: list[int] = []
        self.successResultOf(self.bring(replace(make_journey(self.sink), on_data=counts.append)))
        self.assertEqual(sum(counts), self.header.length + self.size(2, 3, 7))

    def test_whether_it_pays(self) -> None:
        self.assertTrue(self.assembly.pays)
        few = parse_header(zchunk(CHUNKS[:1]))
        self.assertFalse(Assembly(parse_header(zchunk([b"few"])), Seeds([], [], few)).pays)

    def test_what_is_there_is_left_alone(self) -> None:
        """A cut within a chunk: only the rest of it is missing."""
        self.sink.content = NEW[:2500]
        self.successResultOf(self.bring())
        self.assertEqual(self.sink.content, NEW)
        self.assertEqual((self.assembly.reused, self.assembly.fetched), (5000, self.size(2, 3, 7)))
        self.sink.content = NEW[:-1]
        self.successResultOf(self.bring())
        self.assertEqual((self.sink.content, len(self.server.asked)), (NEW, 4))

    def test_more_than_it_holds(self) -> None:
        self.sink.content = NEW + b"x"
        problem = self.assertRaises(DeltaError, self.assembly.begin, make_journey(self.sink))
        self.assertIn("more bytes than it holds", str(problem))

    def test_a_file_of_another_size(self) -> None:
        journey = make_journey(self.sink, size=7)
        self.assertRaises(FileMismatch, self.assembly.begin, journey)

    def test_a_seed_that_has_changed(self) -> None:
        """Its chunks are fetched as well: those in a row at once."""
        self.patch(plan, "SPAN", 1000)
        self.seed.write_bytes(CHUNKS[4] + bytes(2000))
        self.successResultOf(self.bring())
        self.assertEqual(self.sink.content, NEW)
        self.assertEqual(self.assembly.reused, 1000)
        self.assertEqual(len(self.server.asked), 3 + 2)

    def test_a_damaged_chunk(self) -> None:
        content = bytearray(self.server.content)
        content[self.header.chunks[3].end - 1] ^= 1
        self.server.content = bytes(content)
        self.failureResultOf(self.bring(), DeltaError)
        self.assertEqual(self.sink.content, NEW[:3000])

    def test_a_range_that_fails(self) -> None:
        """Bytes that come twice from a seed count once."""
        self.server.replies = [Reply(503)]
        self.failureResultOf(self.bring(), NotFetched)
        self.assertEqual((self.sink.content, self.assembly.reused), (NEW[:2000], 2000))
        self.successResultOf(self.bring())
        self.assertEqual((self.sink.content, self.assembly.reused), (NEW, 5000))

    def test_what_was_fetched_is_counted_over_all_attempts(self) -> None:
        self.server.replies = [Reply(), Reply(503)]
        self.failureResultOf(self.bring(), NotFetched)
        self.assertEqual(self.sink.content, NEW[:3000])
        self.successResultOf(self.bring())
        self.assertEqual(self.assembly.fetched, self.size(2, 3, 7))

    def test_a_range_of_a_changed_seed_that_fails(self) -> None:
        self.seed.write_bytes(b"".join([*CHUNKS[4:7], b"old", CHUNKS[0]]))
        self.server.replies = [Reply(), Reply(), Reply(), Reply(503)]
        self.failureResultOf(self.bring(), NotFetched)
        self.assertEqual((self.sink.content, self.assembly.reused), (b"", 0))
        self.successResultOf(self.bring())
        self.assertEqual((self.sink.content, self.assembly.reused), (NEW, 4000))

    def test_a_full_disk(self) -> None:
        self.sink.problem = OSError(errno.ENOSPC, "full")
        problem = self.failureResultOf(self.bring(), DiskError).value
        self.assertEqual(problem.error.errno, errno.ENOSPC)
        self.assertEqual(self.assembly.reused, 0)
        self.successResultOf(self.bring())
        self.assertEqual((self.sink.content, self.assembly.reused), (NEW, 5000))

    def test_a_file_that_was_removed(self) -> None:
        self.successResultOf(self.bring())
        self.sink.content = b""
        self.successResultOf(self.bring())
        self.assertEqual((self.sink.content, self.assembly.reused), (NEW, 5000))
        self.assertEqual(self.assembly.fetched, self.size(2, 3, 7))

    def test_a_stop(self) -> None:
        self.server.held = []
        brought = self.bring()
        self.assertEqual(self.sink.content, NEW[:2000])
        self.journey.work.scope.stop()
        self.failureResultOf(brought, CancelledError)
        self.assertEqual(self.sink.content, NEW[:2000])

    def test_one_piece_is_written_while_the_next_one_is_fetched(self) -> None:
        puts: list[Deferred[None]] = []

        def put(data: bytes) -> Deferred[None]:
            self.sink.put(data)
            puts.append(Deferred())
            return puts[-1]

        journey = replace(make_journey(self.sink), put=put)
        self.server.held = []
        self.server.replies = [Reply(), Reply(503)]
        brought = self.bring(journey)
        self.assertEqual((len(puts), len(self.server.held)), (1, 1))
        self.server.release()
        self.assertEqual(len(puts), 1)  # the next piece is here, and waits
        puts[0].callback(None)
        self.assertEqual((len(puts), self.sink.content), (2, NEW[:3000]))
        self.server.release()
        self.assertNoResult(brought)  # what is written comes to its end first
        puts[1].callback(None)
        self.failureResultOf(brought, NotFetched)

    def test_a_full_disk_and_a_range_that_fails(self) -> None:
        """The disk counts: another attempt would not help."""
        self.sink.problem = OSError(errno.ENOSPC, "full")
        self.server.replies = [Reply(503)]
        self.failureResultOf(self.bring(), DiskError)

    def test_a_stop_while_it_puts(self) -> None:
        journey = make_journey(self.sink)

        def put(data: bytes) -> Deferred[None]:
            journey.work.scope.stop()
            return self.sink.put(data)

        object.__setattr__(journey, "put", put)
        self.failureResultOf(self.bring(journey), CancelledError)
        self.assertEqual(self.sink.content, NEW[:2000])


FILES = st.lists(st.integers(0, 7), min_size=1, max_size=12)
CUTS = st.lists(st.none() | st.integers(0, 40), max_size=8)


class PropertyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(plan, "SPAN", 30)
        self.patch(plan, "PIECE", 2500)

    @given(FILES, FILES, st.integers(0, 12_000), st.integers(0, 12_000), CUTS, st.data())
    def test_it_is_the_file_or_the_delta_is_given_up(
        self,
        before: Sequence[int],
        after: Sequence[int],
        seed: int,
        part: int,
        cuts: Sequence[int | None],
        data: st.DataObject,
    ) -> None:
        """Any two files, a seed that was changed anywhere, a part of any length, any damage of the
        zchunk file, and connections that are lost anywhere."""
        old, new = ([CHUNKS[each] for each in numbers] for numbers in (before, after))
        server, content = FakeServer(zchunk(new)), b"".join(new)
        server.replies = [Reply(cut=cut) for cut in cuts]
        damage = data.draw(st.none() | st.integers(0, len(server.content) - 1))
        whole = damage is None
        if damage is not None:
            damaged = bytearray(server.content)
            damaged[damage] ^= 1
            server.content = bytes(damaged)
        sink = MemorySink(content[:part])
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(old)[:seed] + b"?" + b"".join(old)[seed + 1 :])
            file.flush()
            known = summed(old), table_of(parse_header(zchunk(old)))
            tables = [data.draw(st.sampled_from(known))]
            journey = make_journey(sink, size=len(content))
            run = DeltaRun(journey.job.key, server, [Path(file.name)], tables)
            given_up = self.try_it(run, journey, attempts=len(cuts) + 1)
        self.assertEqual((server.open, server.lines), (0, 0))
        self.assertTrue(content.startswith(sink.content))
        self.assertEqual(run.finished, not given_up)
        self.assertEqual(sink.content == content, run.finished or part >= len(content))
        if whole and given_up:
            self.assertEqual(given_up, "it costs as many bytes as the file")
        if run.assembly is not None:
            self.assertLessEqual(run.assembly.reused, len(content))

    def try_it(self, run: DeltaRun, journey: Journey, attempts: int) -> str:
        """Why it is given up; empty if the file is there."""
        for _ in range(attempts):
            attempt = Deferred.fromCoroutine(run.attempt(journey, URL))
            ended: list[Failure | None] = []
            attempt.addBoth(ended.append)
            [failure] = ended
            if failure is None:
                return ""
            if failure.check(DeltaError):
                return str(failure.value)
            self.assertIsNotNone(failure.check(NotFetched), failure)
        raise AssertionError("an attempt without a cut has failed")

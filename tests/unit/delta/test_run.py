"""The delta of one execution: its header, its attempts, and what outlives them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.downloads import KEY
from tests.unit.delta.bench import zchunk
from tests.unit.delta.lines_bench import URL, FakeServer, MemorySink, Reply, make_journey
from upparat.delta import plan, run
from upparat.delta.header import DeltaError, parse_header
from upparat.delta.lines import LINES, NotFetched
from upparat.delta.run import FIRST, PART, DeltaRun
from upparat.delta.tables import Table, table_of
from upparat.download.response import Permanent, Temporary

CHUNKS = [bytes([each]) * 1000 for each in range(8)]
NEW = b"".join(CHUNKS)


class RunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(plan, "SPAN", 30)
        self.server = FakeServer(zchunk(CHUNKS))
        self.sink = MemorySink()
        self.size: int | None = len(NEW)
        self.run_ = self.make()

    def make(self, *paths: Path, tables: tuple[Table, ...] = ()) -> DeltaRun:
        return DeltaRun(KEY, self.server, paths, tables)

    def attempt(self, url: str = URL) -> Any:
        """The failure of an attempt; ``None`` if the file is there."""
        journey = make_journey(self.sink, size=self.size)
        ended: list[Failure | None] = []
        Deferred.fromCoroutine(self.run_.attempt(journey, url)).addBoth(ended.append)
        self.assertEqual((self.server.open, self.server.lines), (0, 0))
        return ended[0]

    def gives_up(self, problem: str) -> None:
        failure = self.attempt()
        self.assertIsNotNone(failure.check(DeltaError), failure)
        self.assertEqual(str(failure.value), problem)
        self.assertFalse(self.run_.finished)

    def test_the_whole_file(self) -> None:
        for size in (None, len(NEW)):
            self.sink, self.run_, self.size = MemorySink(), self.make(), size
            self.assertIsNone(self.attempt())
            self.assertEqual((self.sink.content, self.run_.finished), (NEW, True))
        self.assertEqual(self.server.ranges[0], f"0-{FIRST - 1}")

    def test_with_a_seed(self) -> None:
        seed = Path(self.mktemp())
        seed.write_bytes(NEW[:5000])
        self.run_ = self.make(seed, tables=(table_of(parse_header(zchunk(CHUNKS[:5]))),))
        self.assertIsNone(self.attempt())
        self.assertEqual(self.sink.content, NEW)
        assert self.run_.assembly is not None
        self.assertEqual(self.run_.assembly.reused, 5000)

    def test_a_seed_without_a_table(self) -> None:
        """A stream that was cut off has left it, for one."""
        seed = Path(self.mktemp())
        seed.write_bytes(NEW[:5000] + bytes(3000))
        self.run_ = self.make(seed)
        self.assertIsNone(self.attempt())
        self.assertEqual(self.sink.content, NEW)
        assert self.run_.assembly is not None
        self.assertEqual(self.run_.assembly.reused, 5000)

    def test_a_seed_that_has_nothing_is_not_read_for_ever(self) -> None:
        self.patch(plan, "PIECE", 1000)
        self.patch(run, "PROBED", 2000)
        seed = Path(self.mktemp())
        seed.write_bytes(b"?" * 3000 + NEW[3000:])
        self.run_ = self.make(seed)
        self.assertIsNone(self.attempt())
        assert self.run_.assembly is not None
        self.assertEqual((self.sink.content, self.run_.assembly.reused), (NEW, 0))

    def test_few_unknown_chunks_are_not_looked_for_long(self) -> None:
        """A quarter of them may be missing in a row: here one of four."""
        self.patch(plan, "PIECE", 1000)
        known = table_of(parse_header(zchunk([b"?" * 4000, *CHUNKS[4:]])))
        for missing, reused in ((1, 7000), (2, 4000)):
            self.sink, seed = MemorySink(), Path(self.mktemp())
            seed.write_bytes(b"?" * 1000 * missing + NEW[1000 * missing :])
            self.run_ = self.make(seed, tables=(known,))
            self.assertIsNone(self.attempt())
            assert self.run_.assembly is not None
            self.assertEqual((self.sink.content, self.run_.assembly.reused), (NEW, reused))

    def long(self, count: int) -> int:
        """Let the server have so many chunks. Returns the length of the header."""
        randbytes = random.Random(1).randbytes
        chunks = [randbytes(20) + bytes(400) for _ in range(count)]
        self.new = b"".join(chunks)
        self.server.content = zchunk(chunks)
        self.patch(plan, "SPAN", 1 << 19)
        self.size = None
        return parse_header(self.server.content).length

    def test_a_long_header(self) -> None:
        """The first request does not bring all of it."""
        length = self.long(1000)
        self.assertIsNone(self.attempt())
        self.assertEqual(self.sink.content, self.new)
        begins = range(FIRST, length, PART)
        parts = [f"{begin}-{min(begin + PART, length) - 1}" for begin in begins]
        self.assertGreater(len(parts), 2)
        self.assertEqual(self.server.ranges[1 : 1 + len(parts)], parts)

    def test_the_parts_of_a_header_come_side_by_side(self) -> None:
        length = self.long(5000)
        self.assertGreater(length, FIRST + LINES * PART)
        self.server.held = []
        attempt = self.run_.attempt(make_journey(self.sink, size=None), URL)
        fetched = Deferred.fromCoroutine(attempt)
        self.server.release()
        self.assertEqual(len(self.server.held), LINES)
        for number in reversed(range(LINES)):
            self.server.release(number)
        self.assertGreater(len(self.server.asked), 1 + LINES, "the chunks follow")
        while self.server.held:
            self.server.release()
        self.assertIsNone(self.successResultOf(fetched))
        self.assertEqual(self.sink.content, self.new)

    def test_a_part_of_a_header_that_fails(self) -> None:
        self.long(1000)
        self.server.replies = [Reply(), Reply(), Reply(503)]
        problem = self.attempt()
        self.assertEqual(problem.value.outcome, Temporary("HTTP 503 Service Unavailable"))
        self.assertIsNone(self.attempt())
        self.assertEqual(self.sink.content, self.new)

    def test_a_header_that_is_cut_off(self) -> None:
        self.server.content = self.server.content[:300]
        self.gives_up("the header is cut off")

    def test_no_zchunk_file(self) -> None:
        self.server.content = NEW
        self.gives_up("this is no zchunk file")
        self.assertIsNone(self.run_.assembly)

    def test_a_file_of_another_length_than_its_header_says(self) -> None:
        length = len(self.server.content)
        self.server.content += b"x"
        failure = self.attempt()
        told = f"it has {length + 1} bytes instead of {length}"
        self.assertEqual(failure.value.outcome, Permanent(told))

    def test_a_file_of_another_size(self) -> None:
        self.size = 7
        self.gives_up(f"it holds {len(NEW)} bytes, and size is 7")

    def test_one_that_does_not_pay(self) -> None:
        """Its chunks are known all the same: they serve the next update."""
        self.server.content, self.size = zchunk([b"few"]), None
        self.gives_up("it costs as many bytes as the file")
        self.assertIsNotNone(self.run_.assembly)

    def test_the_next_attempt_goes_on(self) -> None:
        self.server.replies = [Reply(), Reply(), Reply(), Reply(cut=5)]
        failure = self.attempt()
        self.assertEqual(failure.value.outcome, Temporary("ConnectionError"))
        self.assertEqual(self.sink.content, NEW[:2000])
        first = len(self.server.asked)
        self.assertIsNone(self.attempt("https://h/f.zck?another"))
        self.assertEqual((self.sink.content, self.run_.finished), (NEW, True))
        later = self.server.asked[first:]
        self.assertEqual({url for url, _ in later}, {"https://h/f.zck?another"})
        self.assertNotIn(f"0-{FIRST - 1}", self.server.ranges[first:])
        self.assertEqual({headers["If-Match"] for _, headers in later}, {'"e"'})

    def test_what_came_too_early_is_kept(self) -> None:
        """A range that is here already when an earlier one fails is not fetched again."""
        self.server.held = []
        ended: list[Failure | None] = []
        attempt = self.run_.attempt(make_journey(self.sink, size=self.size), URL)
        Deferred.fromCoroutine(attempt).addBoth(ended.append)
        self.server.release()
        early = self.server.ranges[2]
        self.server.release(1)
        self.server.held.pop(0).errback(ConnectionError())
        self.assertIsNotNone(ended[0] and ended[0].check(NotFetched))
        self.server.held, first = None, len(self.server.asked)
        self.assertIsNone(self.attempt())
        self.assertEqual(self.sink.content, NEW)
        self.assertNotIn(early, self.server.ranges[first:])

    def test_a_header_that_does_not_come(self) -> None:
        self.server.replies = [Reply(503)]
        failure = self.attempt()
        self.assertIsNotNone(failure.check(NotFetched))
        self.assertIsNone(self.attempt())
        self.assertEqual(self.sink.content, NEW)

"""A range on its way to the hook, over connections that break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.unit.download.bench import CONTENT, Answer
from tests.unit.relay.bench import EXPIRED, TOTAL, Flow, RelayBench, part
from upparat.download.transfer import DownloadFailed
from upparat.relay.fetch import RangeFetch
from upparat.relay.lent import FileFacts
from upparat.relay.ranges import ByteRange


class FetchBench(RelayBench):
    facts = FileFacts(TOTAL, '"e"', True)

    def new(self) -> None:
        super().new()
        self.got = b""

    def begin(
        self, *answers: Answer | Exception, span: tuple[int, int] = (0, TOTAL)
    ) -> Deferred[None]:
        self.answers = list(answers)
        self.begun = span[0]
        self.fetch = RangeFetch(self.file, self.facts, ByteRange(*span), self.take, self.scope)
        return self.let(self.fetch.run())

    def take(self, begin: int, data: bytes) -> None:
        self.assertEqual(begin, self.begun + len(self.got))
        self.got += data

    def ends(self, *answers: Answer | Exception, span: tuple[int, int] = (0, TOTAL)) -> None:
        ended = self.begin(*answers, span=span)
        while self.reactor.getDelayedCalls():
            self.reactor.advance(100)
        self.successResultOf(ended)
        self.assertEqual(self.got, CONTENT[slice(*span)])
        self.assertEqual(self.upstream.open, 0)

    def fails(self, *answers: Answer | Exception) -> str:
        ended = self.begin(*answers)
        while self.reactor.getDelayedCalls():
            self.reactor.advance(100)
        return str(self.failureResultOf(ended, DownloadFailed).value)


class FetchTests(FetchBench):
    def test_good(self) -> None:
        self.ends(part(2, 6), span=(2, 6))
        self.assertEqual(self.ranges, ["bytes=2-5"])
        self.assertEqual(self.count, 4)

    def test_it_goes_on_from_the_byte(self) -> None:
        self.ends(part(2, 8, cut=4), ConnectionError(), part(4, 8, cut=5), part(5, 8), span=(2, 8))
        self.assertEqual(self.ranges, ["bytes=2-7", "bytes=4-7", "bytes=4-7", "bytes=5-7"])

    def test_an_end_that_comes_too_early(self) -> None:
        early = part(0, TOTAL)
        early.chunks = [CONTENT[:3]]
        self.ends(early, part(3, TOTAL))

    def test_the_connection_breaks_behind_the_last_byte(self) -> None:
        self.ends(part(0, TOTAL, then=ConnectionError()))

    def test_a_fresh_url(self) -> None:
        ended = self.begin(part(0, TOTAL, cut=4), EXPIRED, part(4, TOTAL))
        self.reactor.advance(100)
        self.assertEqual(len(self.refusals), 1)
        self.assertNoResult(ended)
        self.file.renew(replace(self.job, file="https://h/f?fresh"))
        self.successResultOf(ended)
        self.assertEqual(self.got, CONTENT)
        self.assertEqual(self.asked[-1][0], "https://h/f?fresh")

    def test_new_bytes_renew_the_attempts(self) -> None:
        cuts = [part(each, TOTAL, cut=each + 1) for each in range(TOTAL - 1)]
        self.assertGreater(len(cuts), self.settings.max_attempts)
        self.ends(*cuts, part(TOTAL - 1, TOTAL))

    def test_slow_ones_do_not(self) -> None:
        cuts = [part(each, TOTAL, cut=each + 1, slow=True) for each in range(TOTAL)]
        self.assertIn(f"({self.settings.max_attempts} attempts)", self.fails(*cuts))

    def test_another_file(self) -> None:
        other = part(4, TOTAL)
        other.headers["etag"] = '"f"'
        problem = "the file on the server has another ETag"
        self.assertEqual(self.fails(part(0, TOTAL, cut=4), other), problem)
        self.assertEqual(self.got, CONTENT[:4])

    def test_servers_with_other_etags(self) -> None:
        """The digest tells the installer whether the bytes are right."""
        self.lend(sha256="0" * 64)
        other = part(4, TOTAL)
        other.headers["etag"] = '"f"'
        self.ends(part(0, TOTAL, cut=4), other)

    def test_another_size(self) -> None:
        for begin in (0, 4):
            self.new()
            answers: list[Any] = [part(0, TOTAL, cut=4)] if begin else []
            other = Answer(206, {"etag": '"e"', "content-range": f"bytes {begin}-10/11"}, 11)
            problem = "the file on the server has another size"
            self.assertEqual(self.fails(*answers, other), problem)

    def test_a_stop(self) -> None:
        ended = self.begin(part(0, TOTAL, then=None))
        self.fetch.stopProducing()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(self.upstream.open, 0)


class WithoutRangesTests(FetchBench):
    facts = FileFacts(TOTAL, "", False)

    def whole(self, cut: int = TOTAL) -> Answer:
        return Answer(200, length=TOTAL, chunks=[CONTENT[:cut]], end=cut == TOTAL)

    def test_what_came_before_is_skipped(self) -> None:
        self.ends(self.whole(4), self.whole(6), self.whole())
        self.assertEqual(self.ranges, [None, None, None])

    def test_a_server_that_ignores_a_range(self) -> None:
        self.facts = FileFacts(TOTAL, "", True)
        self.ends(self.whole(), span=(2, 5))


class PressureTests(FetchBench):
    def exchange(self) -> Flow:
        assert isinstance(self.upstream.exchange, Flow)
        return self.upstream.exchange

    def test_a_reader_that_is_slow(self) -> None:
        self.begin(part(0, TOTAL, cut=4, then=None)).addErrback(lambda _: None)
        self.fetch.pauseProducing()
        self.fetch.pauseProducing()
        self.assertTrue(self.exchange().held)
        self.fetch.resumeProducing()
        self.assertFalse(self.exchange().held)
        self.fetch.resumeProducing()

    def test_nothing_is_asked_while_there_is_no_room(self) -> None:
        ended = self.begin(part(0, TOTAL, cut=4), part(4, TOTAL))
        self.fetch.pauseProducing()
        self.reactor.advance(100)
        self.assertEqual(len(self.asked), 1)
        self.fetch.resumeProducing()
        self.successResultOf(ended)
        self.assertEqual(self.got, CONTENT)

"""Ranges over some connections: what is asked for, in which order, and how it fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.lines_bench import URL, FakeServer, Reply
from upparat.delta import lines
from upparat.delta.lines import AHEAD, LINES, NotFetched, Source, SpanFetcher, fetch_range
from upparat.delta.plan import Span
from upparat.download.exchange import CancelScope
from upparat.download.response import Permanent, Temporary, UrlExpired

CONTENT = bytes(range(256)) * 20
SPANS = [Span(each, each + 1, each * 10, each * 10 + 10) for each in range(AHEAD + 4)]


def part(span: Span) -> bytes:
    return CONTENT[span.begin : span.end]


class RangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = FakeServer(CONTENT)
        self.source = Source(URL)

    def fetch(self, begin: int = 10, end: int = 20) -> Deferred[tuple[bytes, Source]]:
        fetching = fetch_range(self.server(), CancelScope(), self.source, begin, end)
        return Deferred.fromCoroutine(fetching)

    def outcome(self, **reply: Any) -> Temporary | UrlExpired | Permanent:
        self.server.replies = [Reply(**reply)]
        problem = self.failureResultOf(self.fetch(), NotFetched).value
        self.assertEqual(self.server.open, 0)
        self.assertEqual(str(problem), problem.outcome.reason)
        outcome: Temporary | UrlExpired | Permanent = problem.outcome
        return outcome

    def test_a_range(self) -> None:
        data, source = self.successResultOf(self.fetch())
        self.assertEqual((data, source), (CONTENT[10:20], Source(URL, '"e"', len(CONTENT))))
        self.assertEqual(self.server.asked, [(URL, {"Range": "bytes=10-19"})])
        self.assertEqual(self.server.open, 0)

    def test_the_same_file_is_asked_for(self) -> None:
        self.source = Source(URL, '"e"', len(CONTENT))
        self.successResultOf(self.fetch())
        self.assertEqual(self.server.asked[0][1]["If-Match"], '"e"')

    def test_the_end_of_the_file_comes_earlier(self) -> None:
        data, _ = self.successResultOf(self.fetch(len(CONTENT) - 5, len(CONTENT) + 100))
        self.assertEqual(data, CONTENT[-5:])

    def test_a_weak_etag_counts_as_none(self) -> None:
        for etag in ("", 'W/"e"', "e"):
            self.server.etag = etag
            self.assertEqual(self.successResultOf(self.fetch())[1].etag, "")

    def test_redirects(self) -> None:
        to = {"location": "/other"}
        self.server.replies = [Reply(302, to), Reply(307, {"location": "/last"})]
        _, source = self.successResultOf(self.fetch())
        self.assertEqual(source.url, "https://h/last")
        self.assertEqual(
            [url for url, _ in self.server.asked][1:],
            [f"https://h{p}" for p in ("/other", "/last")],
        )
        self.server.replies = [Reply(302, to)] * 6
        problem = self.failureResultOf(self.fetch(), NotFetched).value
        self.assertEqual(problem.outcome, Permanent("more than 5 redirects"))
        self.assertEqual(self.server.open, 0)

    def test_a_redirect_to_nowhere(self) -> None:
        told = self.outcome(status=302, headers={"location": "http://h/f"})
        self.assertEqual(told, Permanent("the server redirects from https to http"))
        self.assertEqual(self.outcome(status=302), Permanent("HTTP 302 Found"))

    def test_refusals(self) -> None:
        self.assertEqual(self.outcome(status=200), Permanent("the server sends no ranges"))
        changed = Permanent("the file on the server has changed")
        self.assertEqual(self.outcome(status=412), changed)
        self.assertEqual(self.outcome(status=403), UrlExpired("HTTP 403 Forbidden"))
        self.assertEqual(self.outcome(status=404), Permanent("HTTP 404 Not Found"))
        busy = Temporary("HTTP 503 Service Unavailable", 7.0)
        self.assertEqual(self.outcome(status=503, headers={"retry-after": "7"}), busy)

    def test_another_range(self) -> None:
        total = len(CONTENT)
        for given in (f"bytes 11-19/{total}", f"bytes 10-18/{total}", f"bytes 10-20/{total}"):
            told = self.outcome(headers={"content-range": given})
            self.assertEqual(
                told, Permanent("the server answers with another range than asked for")
            )
        for given in ("", "bytes */99", "bytes 10-19/*", f"bytes 10-{'9' * 19}/{'9' * 19}"):
            told = self.outcome(headers={"content-range": given})
            self.assertEqual(told, Permanent("the server answers with a range that cannot be read"))

    def test_another_file(self) -> None:
        changed = Permanent("the file on the server has changed")
        self.source = Source(URL, total=len(CONTENT) + 1)
        self.assertEqual(self.outcome(), changed)
        self.source = Source(URL, '"e"', len(CONTENT))
        self.assertEqual(self.outcome(headers={"etag": '"f"'}), changed)
        self.assertEqual(self.outcome(headers={"etag": ""}), changed)

    def test_bodies_of_another_length(self) -> None:
        more = Permanent("the server sends more than asked for")
        self.assertEqual(self.outcome(more=b"x"), more)
        cut = Temporary("the connection ended")
        self.assertEqual(self.outcome(cut=9, ends=True), cut)
        self.assertEqual(self.outcome(cut=9), Temporary("ConnectionError"))
        self.assertEqual(self.outcome(error=ZeroDivisionError()), Temporary("ZeroDivisionError"))

    def test_a_stop(self) -> None:
        self.server.held = []
        scope = CancelScope()
        fetching = fetch_range(self.server(), scope, self.source, 0, 10)
        fetched = Deferred.fromCoroutine(fetching)
        scope.stop()
        self.failureResultOf(fetched, CancelledError)
        self.assertEqual(self.server.open, 0)


class FetcherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = FakeServer(CONTENT)
        self.server.held = []
        self.stock: dict[Span, bytes] = {}

    def begin(self, *spans: Span, number: int = LINES) -> SpanFetcher:
        made = [self.server() for _ in range(number)]
        return SpanFetcher(made, Source(URL), spans or SPANS, self.stock)

    def test_in_order_and_a_few_ahead(self) -> None:
        fetcher = self.begin(number=3)
        self.assertEqual(self.server.ranges, ["0-9", "10-19", "20-29"])
        for _ in range(AHEAD):
            self.server.release()
        self.assertEqual(list(self.stock), SPANS[:AHEAD])
        self.assertEqual((self.server.open, len(self.server.asked)), (0, AHEAD))
        for number, span in enumerate(SPANS[:2]):
            self.assertEqual(self.successResultOf(fetcher.take(span)), part(span))
            self.assertEqual(len(self.server.asked), AHEAD + number + 1)
        self.assertEqual(list(self.stock), SPANS[2:AHEAD])

    def test_no_more_bytes_ahead_than_are_enough(self) -> None:
        """But one range more than the one that is waited for: it is asked for before."""
        for enough, asked in ((30, 3), (31, 4), (10, 2), (1, 2)):
            self.patch(lines, "ENOUGH", enough)
            self.server.asked.clear()
            self.begin()
            self.assertEqual(len(self.server.asked), asked)

    def test_what_is_waited_for(self) -> None:
        fetcher = self.begin()
        taken = fetcher.take(SPANS[0])
        self.server.release(1)
        self.assertNoResult(taken)
        self.server.release(0)
        self.assertEqual(self.successResultOf(taken), part(SPANS[0]))
        self.assertEqual(list(self.stock), [SPANS[1]])

    def test_what_is_asked_for_comes_first(self) -> None:
        fetcher = self.begin(number=1)
        other, planned = Span(20, 21, 500, 520), SPANS[7]
        taken = [fetcher.take(other), fetcher.take(planned)]
        for _ in range(3):
            self.server.release()
        self.assertEqual(self.server.ranges[:3], ["0-9", "500-519", "70-79"])
        self.assertEqual(
            [self.successResultOf(each) for each in taken], [*map(part, (other, planned))]
        )
        for span in [*SPANS[:7], *SPANS[8:]]:
            taken_now = fetcher.take(span)
            while self.server.held:
                self.server.release()
            self.successResultOf(taken_now)
        self.assertEqual(len(self.server.asked), len(SPANS) + 1)

    def test_what_is_here_is_not_fetched(self) -> None:
        self.stock[SPANS[1]] = part(SPANS[1])
        fetcher = self.begin(*SPANS[:3])
        self.assertEqual(self.server.ranges, ["0-9", "20-29"])
        self.assertEqual(self.successResultOf(fetcher.take(SPANS[1])), part(SPANS[1]))

    def test_later_requests_know_the_file(self) -> None:
        self.begin(number=1)
        self.server.release()
        self.assertEqual(self.server.asked[1][1]["If-Match"], '"e"')

    def test_a_failure_ends_all(self) -> None:
        self.server.replies = [Reply(), Reply(404)]
        fetcher = self.begin(number=3)
        taken = [fetcher.take(span) for span in SPANS[:2]]
        self.server.release(1)
        for each in (*taken, fetcher.take(SPANS[2])):
            self.failureResultOf(each, NotFetched)
        self.assertEqual(len(self.server.asked), 3)
        self.server.replies = []
        self.server.release()
        self.assertEqual(list(self.stock), [SPANS[0]])
        self.assertEqual(len(self.server.asked), 3)

    def test_the_first_failure_counts(self) -> None:
        self.server.replies = [Reply(404), Reply(403)]
        fetcher = self.begin()
        self.server.release()
        self.server.release()
        problem = self.failureResultOf(fetcher.take(SPANS[5]), NotFetched).value
        self.assertEqual(problem.outcome, Permanent("HTTP 404 Not Found"))

    def test_close(self) -> None:
        fetcher = self.begin()
        taken = fetcher.take(SPANS[0])
        self.server.release(1)
        fetcher.close()
        self.assertNoResult(taken)
        self.assertEqual(self.server.open, 0)
        self.assertEqual(list(self.stock), [SPANS[1]])
        self.assertEqual(len(self.server.asked), LINES + 1)

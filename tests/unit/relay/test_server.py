"""The answers to the requests of a hook."""

from __future__ import annotations

import re

from tests.unit.download.bench import CONTENT, Answer
from tests.unit.relay.bench import TOTAL, first, part
from tests.unit.relay.served import ServedBench
from upparat.relay.server import LOOPBACK_ADDRESS


class UrlTests(ServedBench):
    def test_it_is_random_and_on_the_loopback_interface(self) -> None:
        self.assertTrue(re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}", self.server.url))
        [(_, _, _, interface)] = self.memory.tcpServers
        self.assertEqual(interface, LOOPBACK_ADDRESS)
        before = self.server.url
        self.new()
        self.assertNotEqual(self.server.url, before)

    def test_strangers(self) -> None:
        url = self.server.url
        place, hook = url.rpartition("/")[0], self.hook()
        for wrong in (f"{place}/", f"{url}x", url[:-1], f"{url}/", f"{url}?a=b", f"{place}/..%2f"):
            self.assertEqual(hook.asks(wrong).code, 404, wrong)
        for host in ("evil.example", "localhost", LOOPBACK_ADDRESS, "127.0.0.1:1"):
            self.assertEqual(hook.asks(url, host=host).code, 404, host)
        self.assertEqual(hook.asks(url, "PUT").code, 405)
        self.assertEqual(self.asked, [])

    def test_the_end(self) -> None:
        hook = self.hook()
        self.successResultOf(self.server.close())
        self.assertTrue(hook.dropped)


class AnswerTests(ServedBench):
    def test_the_whole_file(self) -> None:
        self.answers = [first(), part(0, TOTAL)]
        code, headers, body = self.asks().answer()
        self.assertEqual((code, body), (200, CONTENT))
        self.assertEqual(headers["content-length"], str(TOTAL))
        self.assertEqual((headers["accept-ranges"], headers["etag"]), ("bytes", '"e"'))
        self.assertEqual(self.passed, [(0, TOTAL)])

    def test_a_range(self) -> None:
        self.answers = [first(), part(2, 6)]
        code, headers, body = self.asks(Range="bytes=2-5").answer()
        self.assertEqual((code, body), (206, CONTENT[2:6]))
        self.assertEqual(headers["content-range"], f"bytes 2-5/{TOTAL}")
        self.assertEqual(headers["content-length"], "4")
        self.assertEqual(self.passed, [(2, 6)])

    def test_a_range_of_another_file(self) -> None:
        for condition, code in (('"e"', 206), ('"f"', 200)):
            self.new()
            span = (2, 6) if code == 206 else (0, TOTAL)
            self.answers = [first(), part(*span)]
            hook = self.asks(**{"Range": "bytes=2-5", "If-Range": condition})
            self.assertEqual(hook.code, code)

    def test_no_such_range(self) -> None:
        self.answers = [first()]
        code, headers, _ = self.asks(Range="bytes=10-").answer()
        self.assertEqual((code, headers["content-range"]), (416, f"bytes */{TOTAL}"))

    def test_head(self) -> None:
        self.answers = [first()]
        code, headers, body = self.asks("HEAD").answer()
        self.assertEqual((code, headers["content-length"], body), (200, str(TOTAL), b""))
        self.assertEqual(self.passed, [])

    def test_a_server_without_ranges(self) -> None:
        self.answers = [Answer(length=TOTAL), Answer(length=TOTAL, chunks=[CONTENT])]
        code, headers, body = self.asks(Range="bytes=2-5").answer()
        self.assertEqual((code, headers["accept-ranges"], body), (200, "none", CONTENT))

    def test_an_empty_file(self) -> None:
        self.answers = [Answer(length=0)]
        code, headers, body = self.asks().answer()
        self.assertEqual((code, headers["content-length"], body), (200, "0", b""))

    def test_one_connection_asks_again(self) -> None:
        self.answers = [first(), part(0, 2), part(2, 4)]
        hook = self.asks(Range="bytes=0-1")
        self.assertEqual(hook.answer()[2], CONTENT[:2])
        hook.asks(self.server.url, Range="bytes=2-3")
        self.assertEqual(hook.answer()[2], CONTENT[2:4])


class TroubleTests(ServedBench):
    def test_before_the_first_byte(self) -> None:
        self.answers = [Answer(404)]
        code, _, body = self.asks().answer()
        self.assertEqual((code, body), (502, b"HTTP 404 Not Found\n"))

    def test_in_the_middle(self) -> None:
        """Nothing but the broken connection tells the hook that bytes are missing."""
        self.answers = [first(), part(0, TOTAL, cut=4), Answer(404)]
        hook = self.asks()
        self.reactor.advance(100)
        self.assertTrue(hook.dropped)
        self.assertEqual(hook.answer()[2], CONTENT[:4])

    def test_a_hook_that_goes_away(self) -> None:
        self.answers = [first(), part(0, TOTAL, cut=4, then=None)]
        hook = self.asks()
        self.assertEqual(self.upstream.open, 1)
        hook.lose()
        self.assertEqual(self.upstream.open, 0)

    def test_one_that_goes_away_while_the_agent_tries_again(self) -> None:
        self.answers = [ConnectionError()]
        self.asks().lose()
        self.assertEqual((self.upstream.open, self.reactor.getDelayedCalls()), (0, []))

    def test_a_fault_of_the_agent(self) -> None:
        self.patch(self.file, "facts", self.broken)
        self.assertTrue(self.asks().dropped)
        [logged] = self.flushLoggedErrors(ZeroDivisionError)
        self.assertNotIn(self.server.url, str(logged))

    async def broken(self, scope: object) -> None:
        raise ZeroDivisionError

    def test_a_hook_that_reads_slowly(self) -> None:
        self.answers = [first(), part(0, TOTAL, cut=4, then=None)]
        hook = self.asks()
        hook.protocol.pauseProducing()
        assert self.upstream.exchange is not None
        self.assertTrue(self.upstream.exchange.held)
        hook.protocol.resumeProducing()
        self.assertFalse(self.upstream.exchange.held)

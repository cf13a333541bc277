"""HTTP within bounds: what rude clients get."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.anyjson import RELAXED
from tests.unit.web.bench import WebBench
from upparat.web.channel import MAX_BODY, MAX_CONNECTIONS, REQUEST_TIMEOUT

PIECES = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    b"GET /events HTTP/1.1\r\nHost: localhost\r\n",
    b"GET /metrics HTTP/1.0\r\n",
    b"POST /status?%ff&= HTTP/9\r\n",
    b"\r\n",
    b"\n",
    b"Host: [::1\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"Accept: application/openmetrics-text; version=x\r\n",
    b"Cookie: a=b; c; =\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Type: multipart/form-data; boundary=x\r\n",
    b" continuation\r\n",
    b": nothing\r\n",
)

GET = b"GET /status HTTP/1.1\r\nHost: localhost\r\n"


class RudeTests(WebBench):
    def test_a_request_in_pieces(self) -> None:
        client = self.client()
        for byte in GET + b"\r":
            client.sends(bytes([byte]))
        self.assertEqual(client.heard(), b"")
        client.sends(b"\n")
        self.assertEqual((client.code, client.closed), (200, True))

    def test_one_request_a_connection(self) -> None:
        client = self.client()
        client.sends((GET + b"\r\n") * 3)
        self.assertEqual(client.heard().count(b"HTTP/1.1 200 OK"), 1)
        self.assertTrue(client.closed)

    def test_one_that_asks_nothing(self) -> None:
        client = self.client()
        client.sends(GET)
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertTrue(client.dropped)

    def test_one_that_sends_a_byte_now_and_then(self) -> None:
        """The time is that of the whole request, not that between two bytes."""
        client = self.client()
        for _ in range(int(REQUEST_TIMEOUT)):
            self.assertFalse(client.dropped)
            client.sends(b"G")
            self.clock.advance(1)
        self.assertTrue(client.dropped)

    def test_one_that_does_not_read_the_answer(self) -> None:
        client = self.client().asks()
        self.assertFalse(client.dropped)
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertTrue(client.dropped)

    def test_an_endless_header(self) -> None:
        for data in (b"x" * 1000, b"X: y\r\n"):
            client = self.client()
            client.sends(GET)
            sent = 0
            while not client.closed:
                client.sends(data)
                sent += len(data)
                self.assertLess(sent, 100_000)
            client.leaves()

    def test_nonsense(self) -> None:
        client = self.client()
        client.sends(b"nonsense\r\n\r\n")
        self.assertEqual((client.code, client.closed), (400, True))

    def test_a_body_is_thrown_away(self) -> None:
        client = self.client().asks(method="POST", **{"Content-Length": "1000"})
        client.sends(b"x" * 999)
        self.assertEqual(client.heard(), b"")
        client.sends(b"x")
        self.assertEqual(client.code, 405)

    def test_an_endless_body(self) -> None:
        for header in ({"Content-Length": "9" * 15}, {"Transfer-Encoding": "chunked"}):
            client = self.client().asks(method="POST", **header)
            chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
            for _ in range(MAX_BODY // 1024 + 1):
                client.sends(chunk)
            self.assertTrue(client.dropped, header)

    def test_many(self) -> None:
        clients = [self.client() for _ in range(MAX_CONNECTIONS)]
        self.assertTrue(self.client().refused)
        clients[0].leaves()
        self.assertEqual(self.client().asks().code, 200)

    def test_one_that_leaves_early(self) -> None:
        client = self.client()
        client.sends(GET)
        client.leaves()
        self.assertEqual((self.factory.channels, self.clock.getDelayedCalls()), (set(), []))

    def test_a_fault_of_the_agent(self) -> None:
        self.agent.connection = None  # type: ignore[assignment]
        for path in ("/", "/status", "/events", "/metrics"):
            client = self.client().asks(path)
            self.assertTrue(client.dropped, path)
            client.leaves()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NonsenseTests(WebBench):
    @RELAXED
    @given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Whatever comes, nothing is logged as a fault, and nothing is left behind."""
        client = self.client()
        for piece in pieces:
            if not client.closed:
                client.sends(piece)
        client.leaves()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual((self.factory.channels, self.clock.getDelayedCalls()), (set(), []))

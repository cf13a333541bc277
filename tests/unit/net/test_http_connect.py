"""CONNECT and the response to it, byte by byte."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from upparat import __version__
from upparat.net.http_connect import HEAD_LIMIT, ConnectResponse, ProxyError, connect_request
from upparat.net.proxy import Proxy

PROXY = Proxy("proxy", 3128)
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class RequestTests(SynchronousTestCase):
    def test_a_request(self) -> None:
        self.assertEqual(
            connect_request(Proxy("p", 1, "Basic abc="), "example.com", 443),
            b"CONNECT example.com:443 HTTP/1.1\r\n"
            b"Host: example.com:443\r\n"
            b"User-Agent: upparat/%s\r\n"
            b"Proxy-Authorization: Basic abc=\r\n\r\n" % __version__.encode(),
        )
        self.assertNotIn(b"Authorization", connect_request(PROXY, "h", 1))

    def test_hosts(self) -> None:
        for host, spelt in (
            ("::1", b"[::1]:1 "),
            ("127.0.0.1", b"127.0.0.1:1 "),
            ("bücher.example", b"xn--bcher-kva.example:1 "),
        ):
            self.assertIn(b"CONNECT " + spelt, connect_request(PROXY, host, 1))

    def test_nothing_can_be_slipped_in(self) -> None:
        for host in ("", "a b", "a\r\nX: y", "a\n", "ä" * 99, "\ud800"):
            self.assertRaises(ProxyError, connect_request, PROXY, host, 1)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


LINES = st.sampled_from(
    [
        *(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 299\n",
            b"HTTP/1.1 100 Continue\r\n",
            b"HTTP/1.1 407 x",
        ),
        *(b"A: b\r\n", b"\r\n", b"\n", b"\r", b"\0", b"HTTP/", b"x" * HEAD_LIMIT),
    ]
)


class ResponseTests(SynchronousTestCase):
    def refused(self, data: bytes) -> str:
        with self.assertRaises(ProxyError) as caught:
            ConnectResponse().feed(data)
        return str(caught.exception)

    def test_opened(self) -> None:
        for answer in (
            OK,
            b"HTTP/1.0 200\r\n\r\n",
            b"HTTP/1.1 204 \r\nContent-Length: 9\r\nX: y\r\n\r\n",
            b"HTTP/1.1 200 OK\nX: y\n\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        ):
            self.assertTrue(ConnectResponse().feed(answer))

    def test_however_it_is_cut(self) -> None:
        for answer in (OK, b"HTTP/1.1 100 C\r\n\r\n" + OK, b"HTTP/1.1 200 OK\n\n"):
            for cut in range(len(answer)):
                parser = ConnectResponse()
                self.assertFalse(parser.feed(answer[:cut]))
                self.assertTrue(parser.feed(answer[cut:]))
            parser = ConnectResponse()
            opened = [parser.feed(bytes([byte])) for byte in answer]
            self.assertEqual(opened, [False] * (len(answer) - 1) + [True])

    def test_refusals(self) -> None:
        for status, name in (
            (407, "407 Proxy Authentication Required"),
            (403, "403 Forbidden"),
            (502, "502 Bad Gateway"),
            (302, "302 Found"),
            (101, "101 Switching Protocols"),
            (599, "599"),
        ):
            answer = b"HTTP/1.1 %d \x1b[2J our own words\r\nX: y\r\n\r\n<html>" % status
            self.assertEqual(self.refused(answer), f"the proxy answers {name}")

    def test_what_is_no_http(self) -> None:
        for answer in (b"x", b"\x16\x03", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1\r\n\r\n"):
            self.assertEqual(self.refused(answer), "the proxy's answer is not HTTP")
        for line in (b"HTTP/1.1 2x0 OK", b"HTTP/1.1 600 X", b"HTTP/1.2 200 OK", b"HTTP/1.1  200"):
            self.assertEqual(self.refused(line + b"\r\n\r\n"), "the proxy's answer is not HTTP")

    def test_more_than_an_answer(self) -> None:
        self.assertEqual(self.refused(OK + b"x"), "the proxy sends more than its answer")

    def test_no_end(self) -> None:
        complaint = f"the proxy's answer has no end within {HEAD_LIMIT} bytes"
        self.assertEqual(self.refused(b"HTTP/1.1 200 OK\r\n" + b"A" * HEAD_LIMIT), complaint)
        self.assertEqual(self.refused(b"HTTP/1.1 100 C\r\n\r\n" * HEAD_LIMIT), complaint)

    @RELAXED
    @given(st.binary() | st.lists(LINES).map(b"".join), st.lists(st.integers(0)))
    def test_anything(self, answer: bytes, cuts: Sequence[int]) -> None:
        """It is opened, refused, or not yet decided; and nothing is kept without limit."""
        parser, taken = ConnectResponse(), 0
        for piece in pieces(answer, cuts):
            try:
                if parser.feed(piece):
                    break
            except ProxyError:
                break
            taken += len(piece)
            self.assertLessEqual(taken, HEAD_LIMIT)

    @RELAXED
    @given(st.lists(st.from_regex(rb"[^\r\n]{1,20}", fullmatch=True)), st.lists(st.integers(0)))
    def test_heads_are_not_looked_at(self, fields: Sequence[bytes], cuts: Sequence[int]) -> None:
        head = b"".join(b"%s\r\n" % each for each in [b"HTTP/1.1 200 OK", *fields, b""])
        parser = ConnectResponse()
        opened = [parser.feed(piece) for piece in pieces(head, cuts) if piece]
        self.assertEqual(opened, [False] * (len(opened) - 1) + [True])

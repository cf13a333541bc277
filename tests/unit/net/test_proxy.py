"""Proxies as options and environments name them, and the way through one, byte by byte."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from upparat import __version__
from upparat.net.endpoints import Tunnel
from upparat.net.http_connect import HEAD_LIMIT, ConnectAnswer, ProxyError, connect_request
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy, configured, from_environment, parse

PROXY = Proxy("proxy", 3128)
OTHER = Proxy("other", 1080)
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ParseTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for text, host, port in (
            ("http://proxy:3128", "proxy", 3128),
            ("HTTP://Proxy.Example.COM:80/", "Proxy.Example.COM", 80),
            ("http://10.0.0.1:1", "10.0.0.1", 1),
            ("http://[2001:db8::1]:65535", "2001:db8::1", 65535),
        ):
            self.assertEqual(parse(text), Proxy(host, port))

    def test_a_port_by_default(self) -> None:
        self.assertEqual(parse("http://proxy", 9), Proxy("proxy", 9))
        self.assertEqual(parse("http://proxy:8", 9), Proxy("proxy", 8))

    def test_credentials(self) -> None:
        """The first one is RFC 7617's."""
        for credentials, encoded in (
            ("Aladdin:open sesame".replace(" ", "%20"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("me", "bWU6"),
            ("me:p@ss", "bWU6cEBzcw=="),
            ("me:a%3Ab:c", "bWU6YTpiOmM="),
            ("m%C3%A9:%00", "bcOpOgA="),
        ):
            self.assertEqual(parse(f"http://{credentials}@h:1").authorization, f"Basic {encoded}")
        self.assertEqual(parse("http://@h:1").authorization, "")

    def test_what_is_none(self) -> None:
        for text in (
            *("", "proxy", "proxy:1", "http://", "http://proxy", "http://:1", "http://h:1/x"),
            *("http://h:0", "http://h:65536", "http://h:1x", "http://h:1?x", "http://h:-1"),
            *("http://a b:1", "http://h\r\nX:1", "http://me:pass/word@h:1", "http://[::1:1"),
            *("https://h:1", "socks5h://h:1", "a%3Ab@h:1", "http://a%3Ab:c@h:1", "http://h:1\n"),
        ):
            self.assertRaises(ValueError, parse, text)

    def test_none(self) -> None:
        for text in ("none", "None", "NONE"):
            self.assertIsNone(configured(text))
        self.assertEqual(configured("http://proxy:3128"), PROXY)

    def test_no_secret_shows(self) -> None:
        proxy = parse("http://somebody:something@proxy:3128")
        self.assertEqual(repr(proxy), repr(PROXY))

    @RELAXED
    @given(st.text() | st.from_regex(r"(?i)http://[^ ]{0,20}:[0-9]{1,6}/?"))
    def test_anything(self, text: str) -> None:
        try:
            proxy = parse(text)
        except ValueError:
            return
        self.assertIn(proxy.port, range(1, 65536))
        connect_request(proxy, proxy.host, proxy.port)


class EnvironmentTests(SynchronousTestCase):
    def test_each_scheme_has_its_own(self) -> None:
        environ = {"http_proxy": "http://proxy:3128", "https_proxy": "other"}
        self.assertEqual(from_environment(environ), Proxies(PROXY, OTHER))
        self.assertEqual(from_environment({}), NO_PROXIES)

    def test_lower_case_comes_first(self) -> None:
        environ = {"https_proxy": "proxy:3128", "HTTPS_PROXY": "other"}
        self.assertEqual(from_environment(environ), Proxies(None, PROXY))
        self.assertEqual(from_environment({**environ, "https_proxy": ""}), Proxies(None, OTHER))

    def test_http_proxy_is_lower_case_only(self) -> None:
        self.assertEqual(from_environment({"HTTP_PROXY": "http://proxy:3128"}), NO_PROXIES)

    def test_exemptions(self) -> None:
        for environ, exempt in (
            ({"NO_PROXY": "a, b.c ,,.d  e"}, ("a", "b.c", ".d", "e")),
            ({"no_proxy": "a", "NO_PROXY": "b"}, ("a",)),
            ({"no_proxy": " , "}, ()),
        ):
            self.assertEqual(from_environment(environ).exempt, exempt)

    def test_what_cannot_be_used(self) -> None:
        for name, value in (
            ("http_proxy", "socks4://me:secret@h"),
            ("https_proxy", "h:port"),
            ("HTTPS_PROXY", "https://h:1"),
        ):
            with self.assertRaises(ValueError) as caught:
                from_environment({name: value})
            self.assertTrue(str(caught.exception).startswith(f"{name} in the environment "))
            self.assertNotIn("secret", str(caught.exception))


class ExemptTests(SynchronousTestCase):
    def direct(self, host: str, *exempt: str) -> bool:
        proxies = Proxies(PROXY, OTHER, exempt)
        way = proxies.towards("https", host)
        self.assertEqual(proxies.towards("http", host) is None, way is None)
        return way is None

    def test_by_scheme(self) -> None:
        proxies = Proxies(PROXY, OTHER)
        self.assertEqual(proxies.towards("http", "h"), PROXY)
        self.assertEqual(proxies.towards("https", "h"), OTHER)

    def test_names(self) -> None:
        for each in ("example.com", ".example.com", "EXAMPLE.com.", "x"):
            for host in ("example.com", "www.Example.com", "a.b.example.com."):
                self.assertEqual(self.direct(host, "y", each), each != "x", (host, each))
        for host in ("notexample.com", "example.com.org", "com", "example.co"):
            self.assertFalse(self.direct(host, "example.com"))
        self.assertFalse(self.direct("example.com", ""))
        self.assertFalse(self.direct("example.com", "."))

    def test_addresses(self) -> None:
        for host, each in (
            ("127.0.0.1", "127.0.0.1"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.9.9.9/8"),
            ("::1", "::1"),
            ("::1", "[::1]"),
            ("::1", "0:0::1"),
            ("2001:db8::5", "2001:db8::/32"),
        ):
            self.assertTrue(self.direct(host, "x", each), (host, each))
        for host, each in (
            ("127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "0.0.1"),
            ("11.0.0.1", "10.0.0.0/8"),
            ("127.0.0.1", "::/0"),
            ("10.0.0.1", "10.0.0.0/99"),
            ("10.0.0.1", "10.0.0.0/"),
        ):
            self.assertFalse(self.direct(host, each), (host, each))

    def test_all(self) -> None:
        for host in ("example.com", "127.0.0.1", "::1"):
            self.assertTrue(self.direct(host, "*"))
            self.assertFalse(self.direct(host, "*", "x"), "curl wants it to stand alone")


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


class AnswerTests(SynchronousTestCase):
    def refused(self, data: bytes) -> str:
        with self.assertRaises(ProxyError) as caught:
            ConnectAnswer().feed(data)
        return str(caught.exception)

    def test_opened(self) -> None:
        for answer in (
            OK,
            b"HTTP/1.0 200\r\n\r\n",
            b"HTTP/1.1 204 \r\nContent-Length: 9\r\nX: y\r\n\r\n",
            b"HTTP/1.1 200 OK\nX: y\n\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        ):
            self.assertTrue(ConnectAnswer().feed(answer))

    def test_however_it_is_cut(self) -> None:
        for answer in (OK, b"HTTP/1.1 100 C\r\n\r\n" + OK, b"HTTP/1.1 200 OK\n\n"):
            for cut in range(len(answer)):
                parser = ConnectAnswer()
                self.assertFalse(parser.feed(answer[:cut]))
                self.assertTrue(parser.feed(answer[cut:]))
            parser = ConnectAnswer()
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
        parser, taken = ConnectAnswer(), 0
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
        parser = ConnectAnswer()
        opened = [parser.feed(piece) for piece in pieces(head, cuts) if piece]
        self.assertEqual(opened, [False] * (len(opened) - 1) + [True])


class Inner(Protocol):
    """What goes through the tunnel."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class InnerFactory(Factory):
    noisy = False

    def __init__(self, inner: Inner | None) -> None:
        self.inner = inner

    def buildProtocol(self, addr: IAddress | None) -> Inner | None:
        return self.inner


class FakeEndpoint:
    """Leads to a proxy that is a string."""

    def __init__(self) -> None:
        self.transport = StringTransport()
        self.connecting: Deferred[IProtocol] = Deferred()

    def connect(self, factory: Factory) -> Deferred[IProtocol]:
        factory.doStart()
        self.protocol = factory.buildProtocol(None)
        return self.connecting

    def succeed(self) -> None:
        assert self.protocol is not None
        self.protocol.makeConnection(self.transport)
        self.connecting.callback(self.protocol)

    def say(self, data: bytes) -> None:
        assert self.protocol is not None
        self.protocol.dataReceived(data)


class TunnelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.endpoint = FakeEndpoint()
        self.inner = Inner()
        self.tunnel = Tunnel(self.endpoint, PROXY, "h", 443)  # type: ignore[arg-type]

    def connect(self, inner: Inner | None = None) -> Deferred[IProtocol]:
        connecting = self.tunnel.connect(InnerFactory(inner or self.inner))
        self.endpoint.succeed()
        return connecting

    def test_open(self) -> None:
        connecting = self.connect()
        self.assertEqual(self.endpoint.transport.value(), connect_request(PROXY, "h", 443))
        self.endpoint.say(OK[:9])
        self.assertNoResult(connecting)
        self.endpoint.say(OK[9:])
        self.assertIs(self.successResultOf(connecting), self.inner)
        self.assertIs(self.inner.transport, self.endpoint.transport)
        self.endpoint.say(b"data")
        self.assertEqual(self.inner.heard, [b"data"])
        self.endpoint.protocol.connectionLost(connectionDone)  # type: ignore[union-attr]
        self.assertIs(self.inner.lost, connectionDone)

    def test_refused(self) -> None:
        connecting = self.connect()
        self.endpoint.say(b"HTTP/1.1 403 No\r\n\r\n")
        self.failureResultOf(connecting, ProxyError)
        self.assertTrue(self.endpoint.transport.disconnecting)
        self.endpoint.say(b"more")
        self.endpoint.protocol.connectionLost(connectionDone)  # type: ignore[union-attr]
        self.assertIsNone(self.inner.transport)

    def test_closed(self) -> None:
        connecting = self.connect()
        self.endpoint.protocol.connectionLost(connectionDone)  # type: ignore[union-attr]
        failure = self.failureResultOf(connecting, ProxyError)
        self.assertEqual(str(failure.value), "the proxy closes the connection")

    def test_cancelled(self) -> None:
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.endpoint.transport.disconnecting)
        self.endpoint.say(OK)
        self.endpoint.protocol.connectionLost(connectionDone)  # type: ignore[union-attr]
        self.assertIsNone(self.inner.transport)

    def test_cancelled_before_the_proxy_is_there(self) -> None:
        connecting = self.tunnel.connect(InnerFactory(self.inner))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)

    def test_no_proxy_there(self) -> None:
        connecting = self.tunnel.connect(InnerFactory(self.inner))
        self.endpoint.connecting.errback(ConnectionRefusedError())
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_a_host_that_nobody_can_be_asked_for(self) -> None:
        tunnel = Tunnel(self.endpoint, PROXY, "a b", 443)  # type: ignore[arg-type]
        self.failureResultOf(tunnel.connect(InnerFactory(self.inner)), ProxyError)

    def test_nobody_wants_it_any_more(self) -> None:
        connecting = self.tunnel.connect(InnerFactory(None))
        self.endpoint.succeed()
        self.endpoint.say(OK)
        self.failureResultOf(connecting, NoProtocol)
        self.assertTrue(self.endpoint.transport.disconnecting)

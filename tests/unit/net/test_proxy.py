"""Proxies as options and environments name them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from upparat.net.http_connect import connect_request
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy, configured, from_environment, parse

PROXY = Proxy("proxy", 3128)
OTHER = Proxy("other", 1080)


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

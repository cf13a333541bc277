"""Addresses to listen on, as they are written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.config.address import ListenAddress, listen_address


class AddressTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for text, host, port in (
            ("127.0.0.1:9110", "127.0.0.1", 9110),
            ("localhost:1", "127.0.0.1", 1),
            ("LOCALHOST:65535", "127.0.0.1", 65535),
            ("[::1]:80", "::1", 80),
            ("[0:0::0:1]:80", "::1", 80),
            ("[::]:80", "::", 80),
        ):
            self.assertEqual(listen_address(text), ListenAddress(host, port))

    def test_problems(self) -> None:
        for text, problem in (
            ("9110", "'9110' is not of the form ADDRESS:PORT"),
            (":9110", "':9110' is not of the form ADDRESS:PORT"),
            ("127.0.0.1:", "the port must be 1 to 65535, not ''"),
            ("127.0.0.1:0", "the port must be 1 to 65535, not '0'"),
            ("127.0.0.1:65536", "the port must be 1 to 65535, not '65536'"),
            ("127.0.0.1:1000000", "the port must be 1 to 65535, not '1000000'"),
            ("127.0.0.1:-1", "the port must be 1 to 65535, not '-1'"),
            ("127.0.0.1:²", "the port must be 1 to 65535, not '²'"),
            ("device-1:80", "'device-1' is neither an IP address nor localhost"),
            ("::1:80", "'::1': an IPv6 address has brackets, and no other"),
            ("[127.0.0.1]:80", "'[127.0.0.1]': an IPv6 address has brackets, and no other"),
            ("[localhost]:80", "'[localhost]' is neither an IP address nor localhost"),
        ):
            with self.assertRaises(ValueError) as raised:
                listen_address(text)
            self.assertEqual(str(raised.exception), problem)

    def test_it_is_written_as_it_is_read(self) -> None:
        for text in ("127.0.0.1:80", "[::1]:80"):
            self.assertEqual(str(listen_address(text)), text)

    def test_who_reaches_it(self) -> None:
        for text in ("127.0.0.1:80", "127.1.2.3:80", "[::1]:80"):
            self.assertTrue(listen_address(text).loopback, text)
        for text in ("0.0.0.0:80", "[::]:80", "10.0.0.1:80"):
            self.assertFalse(listen_address(text).loopback, text)

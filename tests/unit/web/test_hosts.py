"""The Host header: the names of the device, and no other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.config.address import ListenAddress
from upparat.web.hosts import is_ours

LOOPBACK = ListenAddress("127.0.0.1", 9110)
ANY = ListenAddress("0.0.0.0", 9110)  # noqa: S104


class HostTests(SynchronousTestCase):
    def test_names_of_the_device(self) -> None:
        for host in (
            "localhost",
            "LocalHost:9110",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.9.9.9:9110",
            "[::1]",
            "[::1]:9110",
        ):
            self.assertTrue(is_ours(host, LOOPBACK, "127.0.0.1"), host)

    def test_names_of_others(self) -> None:
        for host in (
            None,
            "",
            "evil.example",
            "evil.example:9110",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "10.0.0.1",
            "localhost:",
            "localhost:80:80",
            "localhost:x",
            "[::1",
            "[::1]x",
            "[localhost]extra",
            "127.1",
            "2130706433",
        ):
            self.assertFalse(is_ours(host, LOOPBACK, "127.0.0.1"), host)

    def test_the_address_by_which_the_request_came(self) -> None:
        self.assertTrue(is_ours("10.0.0.1:9110", ANY, "10.0.0.1"))
        self.assertTrue(is_ours("10.0.0.1:9110", ListenAddress("::", 9110), "::ffff:10.0.0.1"))
        self.assertFalse(is_ours("10.0.0.2:9110", ANY, "10.0.0.1"))
        self.assertFalse(is_ours("device-1.lan:9110", ANY, "10.0.0.1"))

    def test_the_configured_address(self) -> None:
        configured = ListenAddress("10.0.0.1", 9110)
        self.assertTrue(is_ours("10.0.0.1", configured, "10.0.0.1"))

"""A connection that serves one request after the other."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.unit.download.wire import WireBench
from upparat.config.settings import DownloadSettings
from upparat.download.exchange import CancelScope
from upparat.download.http import HttpExchange
from upparat.download.kept import IDLE, KeptConnection
from upparat.download.rate import Rate


class KeptTests(WireBench):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.kept = KeptConnection(self.clock, Rate(self.clock, 0))  # type: ignore[arg-type]

    def exchange(self, scope: CancelScope) -> HttpExchange:
        return HttpExchange(self.clock, DownloadSettings(), scope, self.kept)  # type: ignore[arg-type]

    def test_the_next_request_uses_it(self) -> None:
        self.assertIsNone(self.kept.connection)
        first = self.fetch(self.exchange)
        self.assertIsNotNone(self.kept.connection)
        self.assertIs(self.fetch(self.exchange), first)
        self.assertEqual(len(self.wires), 1)
        self.assertFalse(first.disconnected)

    def test_a_body_that_is_not_read_to_its_end(self) -> None:
        """The rest would come in place of the next answer."""
        first = self.fetch(self.exchange, missing=4)
        self.assertTrue(first.disconnected)
        first.lose()
        self.assertIsNone(self.kept.connection)
        self.assertIsNot(self.fetch(self.exchange), first)

    def test_the_server_closes_it(self) -> None:
        first = self.fetch(self.exchange)
        first.lose()
        self.assertIsNone(self.kept.connection)
        self.assertIsNot(self.fetch(self.exchange), first)
        self.assertIsNotNone(self.kept.connection)

    def test_it_is_not_kept_for_ever(self) -> None:
        first = self.fetch(self.exchange)
        self.clock.advance(IDLE - 1)
        self.assertFalse(first.disconnecting or first.disconnected)
        self.clock.advance(1)
        self.assertTrue(first.disconnecting or first.disconnected)

    def test_close(self) -> None:
        first = self.fetch(self.exchange)
        self.kept.close()
        self.assertTrue(first.disconnected)
        first.lose()
        self.kept.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNot(self.fetch(self.exchange), first)

    def test_close_without_a_connection(self) -> None:
        self.kept.close()
        self.assertIsNone(self.kept.connection)

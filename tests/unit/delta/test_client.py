"""Lines over HTTP: each keeps a connection of its own, and all share one rate."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.unit.download.wire import WireBench
from upparat.config.settings import DownloadSettings
from upparat.delta.client import HttpLine, HttpLines
from upparat.download.exchange import CancelScope


class ClientTests(WireBench):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()

    def lines(self, max_rate: int = 0) -> list[HttpLine]:
        settings = DownloadSettings(max_rate=max_rate)
        connect = HttpLines(self.clock, settings)  # type: ignore[arg-type]
        return [connect(), connect()]

    def test_each_keeps_its_connection(self) -> None:
        lines = self.lines()
        first = [self.fetch(line.exchange) for line in lines]
        self.assertEqual([self.fetch(line.exchange) for line in lines], first)
        self.assertEqual(self.wires, first)

    def test_close(self) -> None:
        lines = self.lines()
        first, second = (self.fetch(line.exchange) for line in lines)
        lines[0].close()
        self.assertEqual((first.disconnected, second.disconnected), (True, False))

    def test_they_share_one_rate(self) -> None:
        """The second line rests for the bytes of the first."""
        waits = []
        for line in self.lines(max_rate=1):
            exchange = line.exchange(CancelScope())
            self.begin(exchange, b"0123", missing=4)
            [rest] = self.clock.getDelayedCalls()
            waits.append(rest.getTime())
            exchange.close()
        self.assertEqual(waits, [4, 8])

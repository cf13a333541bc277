"""The server of the page as a service, without a network."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.unit.web.bench import Client, WebBench
from upparat.metrics.exposition import MISSING
from upparat.web import service as module
from upparat.web.channel import PageFactory
from upparat.web.service import WebService


class ServiceTests(WebBench):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.service = WebService(self.reactor, self.address, lambda: self.desk, self.metrics)

    def lines(self) -> list[tuple[LogLevel, str]]:
        """Start, and return what is logged."""
        with capturedLogs() as events:
            self.service.startService()
        return [(event["log_level"], formatEvent(event)) for event in events]

    def test_it_listens_at_the_address(self) -> None:
        self.assertEqual(self.lines(), [(LogLevel.info, "The page is at http://127.0.0.1:9110/")])
        [(port, _, _, interface)] = self.reactor.tcpServers
        self.assertEqual((port, interface), (9110, "127.0.0.1"))
        self.successResultOf(self.service.stopService())

    def test_its_clients_are_dropped_at_the_end(self) -> None:
        self.service.startService()
        [(_, factory, _, _)] = self.reactor.tcpServers
        assert isinstance(factory, PageFactory)
        clients = [Client(factory), Client(factory).asks("/events")]
        self.successResultOf(self.service.stopService())
        self.assertTrue(all(client.dropped for client in clients))

    def test_a_port_that_is_taken(self) -> None:
        def taken(port: int, *_: Any) -> None:
            raise CannotListenError("127.0.0.1", port, OSError(errno.EADDRINUSE, "in use"))

        self.patch(self.reactor, "listenTCP", taken)
        self.assertEqual(
            self.lines(), [(LogLevel.error, "The page is off: 127.0.0.1:9110: in use")]
        )
        self.successResultOf(self.service.stopService())

    def test_a_fault_does_not_reach_the_agent(self) -> None:
        def broken(*_: Any) -> Any:
            raise RuntimeError("broken")

        without_desk = WebService(self.reactor, self.address, broken, self.metrics)
        self.patch(self.reactor, "listenTCP", broken)
        for service in (self.service, without_desk):
            service.startService()
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
            self.successResultOf(service.stopService())

    def test_without_prometheus_client(self) -> None:
        self.patch(module, "is_available", lambda: False)
        warning = (LogLevel.warn, f"/metrics answers nothing: {MISSING}")
        self.assertEqual(self.lines()[1:], [warning])

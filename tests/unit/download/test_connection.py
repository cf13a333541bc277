"""A connection that is counted, and dropped."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from upparat.download.connection import HttpConnection, WatchedEndpoint


class FakeHttp(Protocol):
    """Takes the place of Twisted's HTTP protocol."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """Connects when :meth:`connected` is called."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.factory = protocolFactory
        self.waiting: Deferred[IProtocol] = Deferred()
        return self.waiting

    def connected(self, transport: StringTransport) -> None:
        protocol = self.factory.buildProtocol(transport.getPeer())
        assert protocol is not None
        protocol.makeConnection(transport)
        self.waiting.callback(protocol)


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[object] = []
        self.transport = StringTransport()
        endpoint = FakeEndpoint()
        factory = Factory.forProtocol(FakeHttp)
        connecting = WatchedEndpoint(endpoint, self.on_connected).connect(factory)
        self.assertEqual(self.events, [])
        endpoint.connected(self.transport)
        self.factory = endpoint.factory
        protocol = self.successResultOf(connecting)
        assert isinstance(protocol, FakeHttp)
        self.protocol = protocol

    def on_connected(self, connection: HttpConnection) -> None:
        self.events.append("connected")
        self.connection = connection

    def test_bytes_go_through_both_ways(self) -> None:
        self.assertEqual(self.events, ["connected"])
        self.connection.dataReceived(b"response")
        assert self.protocol.transport is not None
        self.protocol.transport.write(b"request")
        self.assertEqual(self.protocol.data, b"response")
        self.assertEqual(self.transport.value(), b"request")

    def test_nothing_is_logged(self) -> None:
        with capturedLogs() as events:
            self.factory.doStart()
            self.factory.doStop()
        self.assertEqual(list(events), [])

    def test_a_limit(self) -> None:
        """The data that exceeds it is passed on, the next is not."""
        self.connection.limit_bytes(4, lambda: self.events.append("exceeded"))
        for data in (b"0123", b"4", b"5"):
            self.connection.dataReceived(data)
        self.assertEqual(self.protocol.data, b"01234")
        self.assertEqual(self.events, ["connected", "exceeded"])
        self.assertTrue(self.transport.disconnected)

    def test_a_limit_that_is_lifted(self) -> None:
        self.connection.limit_bytes(4, lambda: self.events.append("exceeded"))
        self.connection.lift_limit()
        for _ in range(3):
            self.connection.dataReceived(b"0123")
        self.assertEqual(self.protocol.data, b"0123" * 3)
        self.assertEqual(self.events, ["connected"])

    def test_abort(self) -> None:
        self.connection.abort()
        self.assertTrue(self.transport.disconnected)

    def test_abort_of_a_lost_connection(self) -> None:
        """Twisted's TLS would raise."""
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.connection.abort()
        self.assertFalse(self.transport.disconnected)
        self.assertTrue(self.protocol.lost)

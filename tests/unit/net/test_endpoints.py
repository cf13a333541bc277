"""Connections through a proxy that a test plays."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upparat.net.endpoints import TunnelEndpoint
from upparat.net.http_connect import ProxyError, connect_request
from upparat.net.proxy import Proxy

PROXY = Proxy("proxy", 3128)
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


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
        self.tunnel = TunnelEndpoint(self.endpoint, PROXY, "h", 443)  # type: ignore[arg-type]

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
        tunnel = TunnelEndpoint(self.endpoint, PROXY, "a b", 443)  # type: ignore[arg-type]
        self.failureResultOf(tunnel.connect(InnerFactory(self.inner)), ProxyError)

    def test_nobody_wants_it_any_more(self) -> None:
        connecting = self.tunnel.connect(InnerFactory(None))
        self.endpoint.succeed()
        self.endpoint.say(OK)
        self.failureResultOf(connecting, NoProtocol)
        self.assertTrue(self.endpoint.transport.disconnecting)

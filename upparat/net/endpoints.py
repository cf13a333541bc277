"""A Twisted endpoint that connects through a proxy."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from .http_connect import ConnectResponse, ProxyError, connect_request
from .proxy import Proxy


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """Connects to a server through a proxy, by CONNECT.

    :param endpoint: leads to the proxy.
    :param host: of the server: a name, which the proxy looks up, or an address without brackets.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, proxy: Proxy, host: str, port: int) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the proxy, and ask it to connect to the server.

        The Deferred fires when the connection leads to the server, and fails with
        :class:`ProxyError` if the proxy refuses. The time to connect to the proxy is limited by
        ``endpoint``. The time of the proxy's response is not limited: cancel the Deferred.
        """
        try:
            request = connect_request(self._proxy, self._host, self._port)
        except ProxyError:
            return fail()
        connecting = self._endpoint.connect(_TunnelFactory(protocolFactory, request))
        return connecting.addCallback(_opened)


def _opened(tunnel: IProtocol) -> Deferred[IProtocol]:
    return cast(_TunnelProtocol, tunnel).opened


class _TunnelFactory(Factory):
    noisy = False

    def __init__(self, inner: IProtocolFactory, request: bytes) -> None:
        self._inner = inner
        self._request = request

    def doStart(self) -> None:
        self._inner.doStart()

    def doStop(self) -> None:
        self._inner.doStop()

    def buildProtocol(self, addr: IAddress | None) -> _TunnelProtocol:
        return _TunnelProtocol(self._inner, self._request)


class _TunnelProtocol(Protocol):
    """Sends CONNECT; once that has succeeded, passes everything on to the user's protocol."""

    transport: ITCPTransport

    def __init__(self, factory: IProtocolFactory, request: bytes) -> None:
        self.opened: Deferred[IProtocol] = Deferred(lambda _: self._cancel())
        self._factory = factory
        self._request = request
        self._response = ConnectResponse()
        self._inner: IProtocol | None = None
        self._done = False

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
        elif not self._done:
            self._read_response(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self._done:
            self._fail(Failure(ProxyError("the proxy closes the connection")))

    def _read_response(self, data: bytes) -> None:
        try:
            opened = self._response.feed(data)
        except ProxyError:
            self.transport.abortConnection()
            self._fail(Failure())
            return
        if opened:
            self._open()

    def _open(self) -> None:
        inner = self._factory.buildProtocol(self.transport.getPeer())
        if inner is None:
            self.transport.abortConnection()
            self._fail(Failure(NoProtocol()))
            return
        self._inner = inner
        inner.makeConnection(self.transport)
        self.opened.callback(inner)

    def _cancel(self) -> None:
        self._done = True
        self.transport.abortConnection()

    def _fail(self, failure: Failure) -> None:
        self._done = True
        self.opened.errback(failure)

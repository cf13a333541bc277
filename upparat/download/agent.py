"""The way to a server: TCP or a proxy, TLS, and the agent that requests one URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ProxyAgent,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from upparat.config.settings import DownloadSettings
from upparat.net.endpoints import TunnelEndpoint
from upparat.net.http_connect import ProxyError
from upparat.net.proxy import Proxy

from .connection import HttpConnection, WatchedEndpoint
from .errors import explain
from .exchange import DownloadReactor


@implementer(IAgent)
class RawUrlAgent:
    """Requests its own URL byte for byte, because it is signed, and takes the body as it comes.

    treq spells URLs anew (``|`` becomes ``%7C``, ``:443`` goes away), cannot spell IPv6 addresses,
    and always offers gzip and unpacks it: then ranges would not fit the file. So it is given this
    agent and no URL.

    :param authorization: for a proxy that is sent the whole URL; empty for none.
    """

    def __init__(self, agent: IAgent, url: bytes, authorization: str = "") -> None:
        self._agent = agent
        self._url = url
        self._authorization = authorization

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders(b"Accept-Encoding", [b"identity"])
        if self._authorization:
            headers.setRawHeaders("Proxy-Authorization", [self._authorization])
        response: Deferred[IResponse] = self._agent.request(
            method, self._url, headers, bodyProducer
        )
        return response.addCallback(_without_encoding)


def _without_encoding(response: IResponse) -> IResponse:
    """Hide that the file is stored compressed, because treq would unpack it."""
    response.headers.removeHeader(b"Content-Encoding")
    return response


@implementer(IAgentEndpointFactory)
class AgentFactory:
    """Makes agents that open one connection for each request, perhaps through a proxy.

    :param on_connected: called with each new connection before its request goes out.
    :param pool: keeps connections for later requests.
    """

    def __init__(
        self,
        reactor: DownloadReactor,
        settings: DownloadSettings,
        on_connected: Callable[[HttpConnection], None],
        pool: HTTPConnectionPool | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._on_connected = on_connected
        self._pool = pool

    def agent(self, url: bytes) -> IAgent:
        """Return an agent that requests ``url``, whatever URL it is given."""
        uri = URI.fromBytes(url)
        proxy = self._proxy(uri)
        if proxy is None or uri.scheme == b"https":
            return RawUrlAgent(Agent.usingEndpointFactory(self._reactor, self, self._pool), url)
        agent = ProxyAgent(self._watched(self._to_proxy(proxy)), self._reactor, self._pool)
        # A request to a proxy has all of the URL but the fragment, which Agent leaves out.
        return RawUrlAgent(agent, url.partition(b"#")[0], proxy.authorization)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """:raises OSError or ValueError: if ``cafile`` cannot be read."""
        host, proxy = _host(uri), self._proxy(uri)
        if proxy is None:
            endpoint = self._to(host, uri.port)
        else:
            endpoint = TunnelEndpoint(self._to_proxy(proxy), proxy, host, uri.port)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(_tls(self._settings.cafile, host, uri.port), endpoint)
        return self._watched(endpoint)

    def _proxy(self, uri: URI) -> Proxy | None:
        return self._settings.proxy.towards(uri.scheme.decode("ascii"), _host(uri))

    def _to_proxy(self, proxy: Proxy) -> IStreamClientEndpoint:
        return _ProxyEndpoint(self._to(proxy.host, proxy.port))

    def _to(self, host: str, port: int) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, host, port, timeout=self._settings.connect_timeout
        )
        return endpoint

    def _watched(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        return WatchedEndpoint(endpoint, self._on_connected)


def _host(uri: URI) -> str:
    """Return the host without the brackets of an IPv6 address."""
    host: bytes = uri.host.strip(b"[]")
    return host.decode("ascii")


def _tls(cafile: str, host: str, port: int) -> IOpenSSLClientConnectionCreator:
    """Return what sets up TLS for one connection.

    :param cafile: PEM certificates of the authorities to trust, read anew for every connection;
        empty for the authorities of the platform, or those of OpenSSL's ``SSL_CERT_FILE``.
    :raises OSError or ValueError: if ``cafile`` cannot be read.
    """
    policy = BrowserLikePolicyForHTTPS(_trust_root(cafile))
    return policy.creatorForNetloc(host.encode("ascii"), port)


def _trust_root(cafile: str) -> Any:
    if not cafile:
        return platformTrust()
    certificates = load_pem_x509_certificates(Path(cafile).read_bytes())
    return trustRootFromCertificates(
        [Certificate(X509.from_cryptography(each)) for each in certificates]
    )


@implementer(IStreamClientEndpoint)
class _ProxyEndpoint:
    """Leads to a proxy, and names the proxy in its errors."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory).addErrback(_blame_proxy)


def _blame_proxy(failure: Failure) -> Failure:
    problem = failure.value
    if isinstance(problem, error.ConnectError | error.DNSLookupError):
        return Failure(ProxyError(f"the proxy: {explain(problem)}"))
    return failure

"""Agents: the way of a request to its server, with TLS and proxies."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
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
    ProxyAgent,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from upparat.config.settings import Download
from upparat.net.endpoints import TunnelEndpoint
from upparat.net.http_connect import ProxyError
from upparat.net.proxy import Proxy

from .errors import explain
from .exchange import Reactor


class Pool(Protocol):
    """The part of Twisted's ``HTTPConnectionPool`` that an agent needs."""

    persistent: bool

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]: ...


@implementer(IAgent)
class RawUrlAgent:
    """Requests its own URL byte for byte, because it is signed, and leaves the body as it is.

    treq spells URLs anew. It also offers gzip and unpacks it, but ranges count the packed bytes.

    :param authorization: for the proxy that gets the request; empty for none.
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
        answer: Deferred[IResponse] = self._agent.request(method, self._url, headers, bodyProducer)
        return answer.addCallback(_without_encoding)


def _without_encoding(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"Content-Encoding")
    return response


@implementer(IAgentEndpointFactory)
class AgentFactory:
    """Makes agents; knows the way to each server, perhaps through a proxy."""

    def __init__(self, reactor: Reactor, settings: Download) -> None:
        self._reactor = reactor
        self._settings = settings
        self._proxies: dict[Proxy, IStreamClientEndpoint] = {}

    def agent(self, url: bytes, pool: Pool) -> IAgent:
        """Make an agent that requests ``url``, and no other."""
        uri = URI.fromBytes(url)
        proxy = self._proxy(uri)
        if proxy is None or uri.scheme == b"https":
            return RawUrlAgent(Agent.usingEndpointFactory(self._reactor, self, pool), url)
        agent = ProxyAgent(self._to_proxy(proxy), self._reactor, pool)
        # A proxy gets the whole URL but the fragment, which Agent leaves out.
        return RawUrlAgent(agent, url.partition(b"#")[0], proxy.authorization)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host, proxy = _host(uri), self._proxy(uri)
        if proxy is None:
            endpoint = self._to(host, uri.port)
        else:
            endpoint = TunnelEndpoint(self._to_proxy(proxy), proxy, host, uri.port)
        if uri.scheme == b"https":
            return _Secure(endpoint, host, uri.port, self._settings.cafile)
        return endpoint

    def _proxy(self, uri: URI) -> Proxy | None:
        return self._settings.proxy.towards(uri.scheme.decode("ascii"), _host(uri))

    def _to_proxy(self, proxy: Proxy) -> IStreamClientEndpoint:
        """The same endpoint for each proxy, because ProxyAgent tells connections apart by them."""
        if proxy not in self._proxies:
            self._proxies[proxy] = _Blamed(self._to(proxy.host, proxy.port))
        return self._proxies[proxy]

    def _to(self, host: str, port: int) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, host, port, timeout=self._settings.connect_timeout
        )
        return endpoint


def _host(uri: URI) -> str:
    """The host, without the brackets of an address."""
    host: bytes = uri.host.strip(b"[]")
    return host.decode("ascii")


@implementer(IStreamClientEndpoint)
class _Secure:
    """TLS over another endpoint.

    :param cafile: PEM certificates of the authorities to trust, read anew for every connection;
        empty: those of the platform, or of OpenSSL's ``SSL_CERT_FILE``.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, host: str, port: int, cafile: str) -> None:
        self._endpoint = endpoint
        self._host = host
        self._port = port
        self._cafile = cafile

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            policy = BrowserLikePolicyForHTTPS(_trust_root(self._cafile))
        except (OSError, ValueError):  # the file cannot be read any more
            return fail()
        creator = policy.creatorForNetloc(self._host.encode("ascii"), self._port)
        secure: IStreamClientEndpoint = wrapClientTLS(creator, self._endpoint)
        return secure.connect(protocolFactory)


def _trust_root(cafile: str) -> Any:
    if not cafile:
        return platformTrust()
    certificates = load_pem_x509_certificates(Path(cafile).read_bytes())
    return trustRootFromCertificates(
        [Certificate(X509.from_cryptography(each)) for each in certificates]
    )


@implementer(IStreamClientEndpoint)
class _Blamed:
    """Connects to a proxy, and names the proxy in the error if that fails."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory).addErrback(self._blame)

    def _blame(self, failure: Failure) -> Failure:
        problem = failure.value
        if isinstance(problem, error.ConnectError | error.DNSLookupError):
            return Failure(ProxyError(f"the proxy: {explain(problem)}"))
        return failure

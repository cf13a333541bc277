"""What lies below a request: connections, TLS, and what goes wrong there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from upparat.text import printable


class Reactor(IReactorTime, IReactorPluggableNameResolver, IReactorTCP, IReactorThreads):
    """What a download asks of a reactor."""


class Silence(Exception):
    """Nothing came for too long; the message says in which phase."""


@implementer(IAgent)
class Verbatim:
    """Asks for the URL byte for byte, since it is signed, and takes the body as it is.

    treq spells URLs anew, offers gzip and unpacks it: then ranges would not fit the file.
    """

    def __init__(self, agent: Agent, url: bytes) -> None:
        self._agent = agent
        self._url = url

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders(b"Accept-Encoding", [b"identity"])
        answer: Deferred[IResponse] = self._agent.request(method, self._url, headers, bodyProducer)
        return answer.addCallback(_as_it_is)


def _as_it_is(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"Content-Encoding")
    return response


@implementer(IAgentEndpointFactory)
class Line:
    """Makes endpoints that tell when the connection is there.

    :param cafile: PEM certificates of the authorities that TLS trusts; empty: those that the
        platform trusts, where OpenSSL's ``SSL_CERT_FILE`` says.
    """

    def __init__(
        self,
        reactor: Reactor,
        timeout: float,
        connected: Callable[[IProtocol], None],
        cafile: str = "",
    ) -> None:
        self._cafile = cafile
        self._reactor = reactor
        self._timeout = timeout
        self._connected = connected

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.strip(b"[]")
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, host, uri.port, timeout=self._timeout
        )
        if uri.scheme == b"https":
            policy = BrowserLikePolicyForHTTPS(_trust_root(self._cafile))
            endpoint = wrapClientTLS(policy.creatorForNetloc(host, uri.port), endpoint)
        return _Told(endpoint, self._connected)


def _trust_root(cafile: str) -> Any:
    """:raises OSError, ValueError: the file cannot be read any more."""
    if not cafile:
        return platformTrust()
    certificates = load_pem_x509_certificates(Path(cafile).read_bytes())
    return trustRootFromCertificates(
        [Certificate(X509.from_cryptography(each)) for each in certificates]
    )


@implementer(IStreamClientEndpoint)
class _Told:
    def __init__(
        self, endpoint: IStreamClientEndpoint, connected: Callable[[IProtocol], None]
    ) -> None:
        self._endpoint = endpoint
        self._connected = connected

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory).addCallback(self._tell)

    def _tell(self, protocol: IProtocol) -> IProtocol:
        self._connected(protocol)
        return protocol


def explain(problem: BaseException) -> str:
    """What went wrong on the line, in a few words and without any URL."""
    for reason in getattr(problem, "reasons", None) or ():
        return explain(getattr(reason, "value", reason))
    if isinstance(problem, Silence):
        return str(problem)
    if isinstance(problem, VerificationError):
        return "TLS: the server's certificate is for another host"
    if isinstance(problem, TlsError):
        return _explain_tls(problem)
    if isinstance(problem, error.ConnectError | error.ConnectionClosed | error.DNSLookupError):
        return printable(str(problem)).rstrip(".")
    return type(problem).__name__


def _explain_tls(problem: TlsError) -> str:
    """OpenSSL's last words, such as ``TLS: certificate verify failed``."""
    queue = problem.args[0] if problem.args else None
    texts = [entry[-1] for entry in queue] if isinstance(queue, list) else []
    return f"TLS: {printable(' '.join(filter(None, texts))) or 'the connection broke'}"

"""Errors on the way to a server, in a few words."""

from __future__ import annotations

from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet import error

from upparat.net.http_connect import ProxyError
from upparat.text import printable


class IdleTimeout(Exception):
    """Nothing, or too little, has come for too long; the message names the phase."""


class MediumError(Exception):
    """A file of the device itself cannot be read; the message says why."""


def explain(problem: BaseException) -> str:
    """Describe an error of the network in a few words, without any URL."""
    for reason in getattr(problem, "reasons", None) or ():
        return explain(getattr(reason, "value", reason))
    if isinstance(problem, IdleTimeout | MediumError | ProxyError):
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

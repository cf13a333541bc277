"""The step that tries TLS with the broker: our files, and the broker's certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from upparat.config.settings import BrokerSettings
from upparat.mqtt.dial import ALPN, ALPN_PORT, client_context
from upparat.net.http_connect import ProxyError

from .clock import SET_IT
from .examination import Examination
from .finding import Finding, Level, failed, ok, skipped, warning
from .network import is_address, open_line

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SOON = timedelta(days=30)
"""A certificate that ends sooner is a warning."""

_ALERTS = {
    "UNKNOWN_CA": "the broker does not know the authority of the device's certificate",
    "CERTIFICATE_REQUIRED": "the broker asks for a certificate",
    "CERTIFICATE_EXPIRED": "the broker says that the device's certificate has expired",
    "CERTIFICATE_REVOKED": "the broker says that the device's certificate was revoked",
    "CERTIFICATE_UNKNOWN": "the broker does not accept the device's certificate",
    "BAD_CERTIFICATE": "the broker does not accept the device's certificate",
}
"""Alerts of the broker about us. With TLS 1.3 they come only after the handshake."""

ALERT_WAIT = 1.5
"""Seconds after the handshake in which such an alert comes."""

_NOT_YET, _EXPIRED, _OTHER_HOST = 9, 10, (62, 64)
"""Verification errors of OpenSSL: X509_V_ERR_… in x509_vfy.h."""


def examine(examination: Examination) -> Iterator[Finding]:
    """Our files first, then a handshake with the broker."""
    broker = examination.settings.broker
    files = {name: getattr(broker, name) for name in ("cafile", "certfile", "keyfile")}
    missing = [name for name, file in files.items() if not file]
    if len(missing) == len(files):
        yield _plain(broker)
    elif missing:
        remedy = "Set cafile, certfile and keyfile, or none of them"
        yield failed("tls", f"[broker] {', '.join(missing)} is not set", remedy)
    else:
        own = list(_own_files(broker, examination.now()))
        yield from own
        if all(finding.level is not Level.FAILED for finding in own):
            yield _handshake(examination)


def _plain(broker: BrokerSettings) -> Finding:
    meaning = "cafile, certfile and keyfile are not set: the connection is plain"
    if broker.host == "localhost" or (is_address(broker.host) and broker.host.startswith("127.")):
        return skipped("tls", meaning)
    remedy = "Set the three files, because anybody on the way can send jobs"
    return warning("tls", meaning, remedy)


# --- our files ---


def _own_files(broker: BrokerSettings, now: datetime) -> Iterator[Finding]:
    try:
        client_context(broker)
    except (OSError, ValueError) as error:
        yield _bad_files(broker, error)
        return
    from cryptography.x509 import load_pem_x509_certificate

    certificate = load_pem_x509_certificate(Path(broker.certfile).read_bytes())
    yield judge_validity(
        "certificate", "the device's certificate, which its key fits,", certificate, now
    )


def _bad_files(broker: BrokerSettings, error: Exception) -> Finding:
    if isinstance(error, ssl.SSLError) and "MISMATCH" in str(error):
        meaning = f"the key {broker.keyfile} does not belong to {broker.certfile}"
        return failed("certificate", meaning, "Copy the pair of files that was made together")
    for name, file in (("cafile", broker.cafile), ("certfile", broker.certfile)):
        if problem := _unfit(file):
            return failed("certificate", f"[broker] {name}: {problem}", "Copy the PEM file again")
    meaning = f"[broker] keyfile: {broker.keyfile} cannot be used: {_reason(error)}"
    return failed("certificate", meaning, "Copy the key as PEM, without a password")


def _unfit(file: str) -> str:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(Path(file).read_bytes())
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    except ValueError:
        return f"{file} holds no certificate"
    return ""


def judge_validity(name: str, whose: str, certificate: Certificate, now: datetime) -> Finding:
    """Whether a certificate is valid now, and will be for a while."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        meaning = f"{whose} is valid only from {begin:%Y-%m-%d} on, and it is {now:%Y-%m-%d}"
        return failed(name, meaning, SET_IT)
    if now >= end:
        meaning = f"{whose} expired on {end:%Y-%m-%d}"
        return failed(name, meaning, "Get a new certificate, or set the clock if it is wrong")
    if now + SOON >= end:
        meaning = f"{whose} expires on {end:%Y-%m-%d}, in {(end - now).days} days"
        return warning(name, meaning, "Get a new certificate in time")
    return ok(name, f"{whose} is valid until {end:%Y-%m-%d}")


# --- the handshake ---


def open_secure(broker: BrokerSettings, seconds: float) -> socket.socket:
    """Open the connection that MQTT begins on, over TLS if that is configured.

    :raises OSError: if there is no connection; ``ssl.SSLError`` is one.
    :raises ProxyError: if the proxy opens no tunnel.
    """
    plain = open_line(broker, seconds)
    if not broker.tls:
        return plain
    try:
        return client_context(broker).wrap_socket(plain, server_hostname=broker.host)
    except BaseException:
        plain.close()
        raise


def _handshake(examination: Examination) -> Finding:
    broker = examination.settings.broker
    try:
        with open_secure(broker, examination.seconds(examination.limits.connect)) as opened:
            return _judge_server(broker, opened, examination.now())
    except ssl.SSLError as error:
        return judge_refusal("tls", broker.host, error, examination.now())
    except (OSError, ProxyError) as error:
        return _broken(broker, error)


def _judge_server(broker: BrokerSettings, opened: socket.socket, now: datetime) -> Finding:
    assert isinstance(opened, ssl.SSLSocket)  # noqa: S101
    if broker.port == ALPN_PORT and opened.selected_alpn_protocol() != ALPN:
        meaning = f"the server does not choose the ALPN protocol {ALPN}, as AWS does on port 443"
        return warning("tls", meaning, "Check the host, or use port 8883")
    if refused := _refused_late(opened):
        return failed("tls", refused, "Register and activate the certificate, or copy another")
    return judge_peer("tls", broker.host, opened, now)


def _refused_late(opened: ssl.SSLSocket) -> str:
    """Why the broker refuses us after the handshake; empty if it waits for CONNECT."""
    opened.settimeout(ALERT_WAIT)
    try:
        opened.recv(1)
    except TimeoutError:
        return ""
    except ssl.SSLError as error:
        return _handshake_reason(error)
    return "the broker closes the connection after the handshake"


def judge_peer(name: str, host: str, opened: ssl.SSLSocket, now: datetime) -> Finding:
    """The certificate of a server that was verified already."""
    certificate = opened.getpeercert() or {}
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    if now + SOON >= end:
        meaning = f"the certificate of {host} expires on {end:%Y-%m-%d}"
        return warning(name, meaning, "Tell the operator of the server")
    return ok(
        name, f"{opened.version()} with {host}, whose certificate is valid until {end:%Y-%m-%d}"
    )


def judge_refusal(name: str, host: str, error: ssl.SSLError, now: datetime) -> Finding:
    """Say in words why a handshake has failed."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        meaning = f"the handshake with {host} fails: {_handshake_reason(error)}"
        return failed(name, meaning, _advice(host))
    code = error.verify_code
    if code == _NOT_YET:
        meaning = f"the certificate of {host} is not valid yet, because it is {now:%Y-%m-%d} here"
        return failed(name, meaning, SET_IT)
    if code == _EXPIRED:
        meaning = f"the certificate of {host} has expired; here it is {now:%Y-%m-%d}"
        return failed(name, meaning, "Renew the server's certificate, or set the clock")
    if code in _OTHER_HOST:
        meaning = f"the server's certificate is not for {host}"
        return failed(name, meaning, "Connect by the name in the certificate")
    meaning = f"the certificate of {host} is of another authority: {error.verify_message}"
    return failed(name, meaning, "Put the authority of the server into cafile")


def _advice(host: str) -> str:
    if is_address(host):
        return "Connect by name: for an address no server name (SNI) is sent, which AWS asks for"
    return "Check that the port is one for TLS"


def _handshake_reason(error: ssl.SSLError) -> str:
    # An SSLEOFError, which the ssl module makes by itself, has no such attribute.
    reason: str = getattr(error, "reason", None) or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "the server does not speak TLS"
    if alert := next((words for alert, words in _ALERTS.items() if alert in reason), ""):
        return alert
    return reason.lower().replace("_", " ")


def _broken(broker: BrokerSettings, error: Exception) -> Finding:
    what = "no answer" if isinstance(error, TimeoutError) else _reason(error)
    meaning = f"the handshake with {broker.host} breaks: {what}"
    return failed("tls", meaning, _advice(broker.host))


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)

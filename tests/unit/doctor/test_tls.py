"""Certificates and handshakes: what each failure means."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.certs import Authority
from tests.support.rawbroker import RawBroker
from tests.unit.doctor.bench import QUICK, DoctorBench, examination
from upparat.config.settings import BrokerSettings
from upparat.doctor import tls
from upparat.doctor.finding import Finding
from upparat.doctor.tls import examine, judge_refusal
from upparat.mqtt import dial
from upparat.mqtt.dial import ALPN

DAY = timedelta(days=1)
LONG = (-DAY, 400 * DAY)
GONE = (-9 * DAY, -2 * DAY)


class TlsTests(DoctorBench):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority()
        self.cafile = self.authority.write(self.directory / "ca.pem")
        cert, key = self.authority.issue(self.directory, "device", valid=LONG)
        self.server = self.authority.issue(self.directory, "server", ["127.0.0.1"], valid=LONG)
        self.broker = BrokerSettings(
            host="127.0.0.1", cafile=self.cafile, certfile=cert, keyfile=key
        )

    def found(self, broker: BrokerSettings | None = None, now: datetime | None = None) -> Finding:
        """The last finding of the step, with a server of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server)
        with RawBroker(lambda peer: peer.read_all(), context) as server:
            settings = replace(broker or self.broker, port=server.port)
            when = now or datetime.now(UTC)
            return list(examine(examination(broker=settings, now=lambda: when)))[-1]

    def without_server(self, **options: str) -> Finding:
        broker = replace(self.broker, port=1, **options)  # type: ignore[arg-type]
        [found] = examine(examination(broker=broker, now=lambda: datetime.now(UTC)))
        return found

    def test_good_ones(self) -> None:
        self.says(self.found(), "ok", "TLSv1.3 with 127.0.0.1")

    def test_plain(self) -> None:
        broker = BrokerSettings(host="127.0.0.1")
        [found] = examine(examination(broker=broker))
        self.says(found, "skipped", "plain")
        [found] = examine(examination(broker=replace(broker, host="broker.example")))
        self.says(found, "warning", "plain")

    def test_one_file_of_three(self) -> None:
        self.says(self.without_server(keyfile=""), "failed", "keyfile is not set")

    def test_a_key_of_another_certificate(self) -> None:
        other = self.authority.issue(self.directory, "other")[1]
        found = self.without_server(keyfile=other)
        self.says(found, "failed", "does not belong to", other)

    def test_files_that_are_something_else(self) -> None:
        text = self.directory / "text"
        text.write_text("-----BEGIN NONSENSE-----\n")
        for option in ("cafile", "certfile", "keyfile"):
            self.says(self.without_server(**{option: str(text)}), "failed", option, str(text))
        missing = str(Path("/none.pem"))
        self.says(self.without_server(certfile=missing), "failed", "No such file")

    def test_our_certificate_has_expired(self) -> None:
        cert, key = self.authority.issue(self.directory, "old", valid=GONE)
        found = self.without_server(certfile=cert, keyfile=key)
        self.says(found, "failed", "the device's certificate, which its key fits, expired on")

    def test_our_certificate_is_not_valid_yet(self) -> None:
        cert, key = self.authority.issue(self.directory, "new", valid=(DAY, 9 * DAY))
        found = self.without_server(certfile=cert, keyfile=key)
        self.says(found, "failed", "valid only from", "NTP")

    def test_our_certificate_expires_soon(self) -> None:
        valid = (-DAY, 29 * DAY)
        cert, key = self.authority.issue(self.directory, "soon", valid=valid)
        broker = replace(self.broker, certfile=cert, keyfile=key, port=1)
        found, _ = examine(examination(broker=broker, now=lambda: datetime.now(UTC)))
        self.says(found, "warning", "expires on", "in 28 days")

    def test_certificates_that_expire_soon(self) -> None:
        soon = datetime.now(UTC) + 380 * DAY
        self.says(self.found(now=soon), "warning", "of 127.0.0.1 expires on")

    def test_another_authority(self) -> None:
        other = Authority().write(self.directory / "other.pem")
        found = self.found(replace(self.broker, cafile=other))
        self.says(found, "failed", "of another authority", "cafile")

    def test_another_host(self) -> None:
        self.server = self.authority.issue(self.directory, "b", ["b.example"], valid=LONG)
        self.says(self.found(), "failed", "is not for 127.0.0.1")

    def test_a_server_with_an_old_certificate(self) -> None:
        self.server = self.authority.issue(self.directory, "b", ["127.0.0.1"], valid=GONE)
        self.says(self.found(), "failed", "has expired")

    def test_a_server_with_a_certificate_of_the_future(self) -> None:
        valid = (DAY, 9 * DAY)
        self.server = self.authority.issue(self.directory, "b", ["127.0.0.1"], valid=valid)
        self.says(self.found(), "failed", "not valid yet", "NTP")

    def test_a_server_without_tls(self) -> None:
        with RawBroker(lambda peer: peer.send(b"220 mail.example ESMTP\r\n")) as server:
            broker = replace(self.broker, port=server.port)
            found = list(examine(examination(broker=broker, now=lambda: datetime.now(UTC))))[-1]
        self.says(found, "failed", "does not speak TLS")

    def test_a_server_that_closes(self) -> None:
        """AWS does when it gets no server name."""
        for host, words in (("127.0.0.1", "SNI"), ("localhost", "Check that the port")):
            with RawBroker(lambda peer: None) as server:
                broker = replace(self.broker, host=host, port=server.port)
                *_, found = examine(examination(broker=broker, now=lambda: datetime.now(UTC)))
            self.says(found, "failed", f"the handshake with {host}", words)

    def test_a_server_that_says_nothing(self) -> None:
        brief = replace(QUICK, connect=0.1)
        with RawBroker(lambda peer: peer.read_all()) as server:
            broker = replace(self.broker, host="localhost", port=server.port)
            made = examination(broker=broker, now=lambda: datetime.now(UTC), limits=brief)
            *_, found = examine(made)
        self.says(found, "failed", "no answer", "Check that the port")

    def test_a_broker_that_asks_for_another_certificate(self) -> None:
        """With TLS 1.3 it says so after the handshake, with TLS 1.2 during it."""
        other = Authority().write(self.directory / "other.pem")
        for most in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.server)
            context.load_verify_locations(other)
            context.verify_mode = ssl.CERT_REQUIRED
            context.maximum_version = most
            with RawBroker(lambda peer: peer.read_all(), context) as server:
                broker = replace(self.broker, port=server.port)
                found = list(examine(examination(broker=broker, now=lambda: datetime.now(UTC))))[-1]
            self.says(found, "failed", "does not know the authority of the device's certificate")

    def test_a_broker_that_closes_after_the_handshake(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server)
        with RawBroker(lambda peer: None, context) as server:
            broker = replace(self.broker, port=server.port)
            found = list(examine(examination(broker=broker, now=lambda: datetime.now(UTC))))[-1]
        self.says(found, "failed", "after the handshake", "activate")

    def test_the_port_of_aws_that_needs_alpn(self) -> None:
        for protocols, level in (([ALPN], "ok"), ([], "warning")):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.server)
            context.set_alpn_protocols(protocols)
            with RawBroker(lambda peer: peer.read_all(), context) as server:
                for module in (dial, tls):
                    self.patch(module, "ALPN_PORT", server.port)
                broker = replace(self.broker, port=server.port)
                found = list(examine(examination(broker=broker, now=lambda: datetime.now(UTC))))[-1]
            self.says(found, level)

    def test_other_errors_keep_their_reason(self) -> None:
        error = ssl.SSLError(1, "[SSL] something")
        now = datetime.now(UTC)
        self.says(judge_refusal("tls", "host", error, now), "failed", "something")

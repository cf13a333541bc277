"""Opening the socket: the TLS context, and what cannot be provoked with real threads."""

from __future__ import annotations

import ssl
from dataclasses import replace
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.mqtt.bench import BROKER, FdClock, certificates, with_tls
from upparat.mqtt.dial import Dial, client_context


class ContextTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.broker = with_tls(certificates(self))

    def test_context(self) -> None:
        context = client_context(self.broker)
        self.assertEqual(context.verify_mode, ssl.CERT_REQUIRED)
        self.assertTrue(context.check_hostname)
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_alpn_on_443_only(self) -> None:
        for port, expected in [(443, [["x-amzn-mqtt-ca"]]), (8883, []), (8443, []), (1883, [])]:
            with patch.object(ssl.SSLContext, "set_alpn_protocols") as set_alpn_protocols:
                client_context(replace(self.broker, port=port))
            self.assertEqual([call.args[0] for call in set_alpn_protocols.mock_calls], expected)


class DialTests(SynchronousTestCase):
    def test_no_more_threads(self) -> None:
        dial = Dial(FdClock(), BROKER)  # type: ignore[arg-type]
        with patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
            self.failureResultOf(dial.start(), RuntimeError)

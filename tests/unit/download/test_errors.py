"""Errors in a few words."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from upparat.download.errors import IdleTimeout, explain


class ExplainTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        never = ResponseNeverReceived([Failure(error.ConnectionLost())])
        tls = SSL.Error([("SSL routines", "", "certificate verify failed")])
        for problem, text in (
            (never, "Connection to the other side was lost in a non-clean fashion"),
            (tls, "TLS: certificate verify failed"),
            (ResponseNeverReceived([Failure(tls)]), "TLS: certificate verify failed"),
            (SSL.Error(), "TLS: the connection broke"),
            (
                VerificationError(errors=[]),
                "TLS: the server's certificate is for another host",
            ),
            (IdleTimeout("no data for 60 s"), "no data for 60 s"),
            (ValueError("https://h/f?secret"), "ValueError"),
        ):
            self.assertEqual(explain(problem), text)
        self.assertIn("no such host", explain(error.DNSLookupError("no such host")))

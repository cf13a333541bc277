"""One request by treq on a clock."""

from __future__ import annotations

from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upparat.config.settings import DownloadSettings
from upparat.download.errors import IdleTimeout
from upparat.download.exchange import CancelScope
from upparat.download.http import HttpExchange


class HttpTests(SynchronousTestCase):
    def test_a_connection_that_never_comes(self) -> None:
        """Looking up the name counts as well."""
        clock = Clock()
        settings = DownloadSettings(connect_timeout=7.0)
        exchange = HttpExchange(clock, settings, CancelScope())  # type: ignore[arg-type]
        endpoint = mock.Mock()
        endpoint.connect.return_value = Deferred()
        with mock.patch("upparat.download.agent.HostnameEndpoint", return_value=endpoint):
            head = Deferred.fromCoroutine(exchange.head("http://h/f", {}))
        clock.advance(6.9)
        self.assertNoResult(head)
        clock.advance(0.1)
        self.assertEqual(
            str(self.failureResultOf(head, IdleTimeout).value), "no connection for 7 s"
        )
        exchange.close()
        self.assertEqual(clock.getDelayedCalls(), [])

"""One request by treq on a clock."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upparat.config.settings import DownloadSettings
from upparat.download.errors import IdleTimeout
from upparat.download.exchange import CancelScope
from upparat.download.http import HttpExchange


class FakeTransport:
    def __init__(self) -> None:
        self.flows = True

    def pauseProducing(self) -> None:
        self.flows = False

    def resumeProducing(self) -> None:
        self.flows = True


class SlowTests(SynchronousTestCase):
    """A body that comes byte by byte."""

    def begin(self, **settings: Any) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        given = DownloadSettings(**settings)
        self.exchange = HttpExchange(self.clock, given, CancelScope())  # type: ignore[arg-type]
        self.exchange._response = mock.Mock()
        self.ended = Deferred.fromCoroutine(self.exchange.body(lambda _: None))
        (self.body,) = self.exchange._response.deliverBody.call_args[0]
        self.body.makeConnection(self.transport)

    def drip(self, seconds: int) -> None:
        """Two bytes a second, while the agent reads."""
        for _ in range(2 * seconds):
            if self.transport.flows:
                self.body.dataReceived(b".")
            self.clock.advance(0.5)

    def test_it_is_given_up_after_a_minute(self) -> None:
        self.begin(min_rate=3)
        self.drip(59)
        self.assertNoResult(self.ended)
        self.drip(1)
        problem = self.failureResultOf(self.ended, IdleTimeout).value
        self.assertEqual(str(problem), "slower than 3 bytes/s for 60 s")
        self.assertTrue(self.exchange.slow)
        self.exchange.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_may_be_as_slow_as_that(self) -> None:
        for least in (0, 2):
            self.begin(min_rate=least)
            self.drip(600)
            self.assertNoResult(self.ended)
            self.exchange.close()
            self.assertFalse(self.exchange.slow)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pauses_of_the_agent_do_not_count(self) -> None:
        """A slow disk, or a hook that does not read."""
        self.begin(min_rate=2)
        for _ in range(20):
            self.drip(10)
            self.exchange.pause()
            self.clock.advance(100)
            self.exchange.resume()
        self.assertNoResult(self.ended)
        self.exchange.pause()
        self.clock.advance(3600)
        self.assertNoResult(self.ended)

    def test_rests_for_the_highest_rate_do_not_count(self) -> None:
        """The server sends at once what is asked of it, which is a byte a second."""
        self.begin(min_rate=100, max_rate=1)
        for _ in range(600):
            self.assertTrue(self.transport.flows)
            self.body.dataReceived(b".")
            self.assertFalse(self.transport.flows)
            self.clock.advance(1)
        self.assertNoResult(self.ended)


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

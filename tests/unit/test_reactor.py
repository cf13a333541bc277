"""The global reactor, made fit for a service."""

from __future__ import annotations

import resource
import signal
import time
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upparat.reactor import abort, prepare_reactor


class FakeReactor(MemoryReactorClock):
    """A reactor of the versions that cannot be given a resolver in memory."""

    def installNameResolver(self, resolver: Any) -> Any:
        return resolver


class PrepareReactorTests(SynchronousTestCase):
    def test_monotonic_and_status_0(self) -> None:
        reactor: Any = FakeReactor()
        prepare_reactor(reactor)
        self.assertIs(reactor.seconds, time.monotonic)
        [(call, arguments, _)] = reactor.triggers["after"]["shutdown"]
        reactor._exitSignal = 15
        call(*arguments)
        self.assertIsNone(reactor._exitSignal)


class AbortTests(SynchronousTestCase):
    def test_the_signal_comes_after_the_orderly_stop(self) -> None:
        limits: list[object] = []
        self.patch(resource, "setrlimit", lambda *limit: limits.append(limit))
        reactor: Any = FakeReactor()
        prepare_reactor(reactor)
        abort(reactor)
        self.assertTrue(reactor.hasStopped)
        for call, arguments, _ in reactor.triggers["after"]["shutdown"]:
            call(*arguments)
        self.assertEqual(reactor._exitSignal, signal.SIGABRT)
        self.assertEqual(limits, [(resource.RLIMIT_CORE, (0, 0))])

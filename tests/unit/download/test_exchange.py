"""The scope that all waits of a download go through."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from upparat.download.exchange import CancelScope


class CancelScopeTests(SynchronousTestCase):
    def test_nothing_begins_once_stopped(self) -> None:
        waiter, begun = CancelScope(), Deferred[None]()
        waiter.stop()
        waited = Deferred.fromCoroutine(waiter.wait(begun))
        self.failureResultOf(waited, CancelledError)
        self.assertTrue(begun.called)

"""Daemon threads, and how their results come back."""

from __future__ import annotations

import threading
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.queue_reactor import QueueReactor
from upparat.net.threads import defer_to_daemon_thread


class ThreadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = QueueReactor()

    def test_result(self) -> None:
        done = defer_to_daemon_thread(self.reactor.as_reactor, threading.current_thread, "test")
        self.assertNoResult(done)
        self.reactor.turn()
        thread = self.successResultOf(done)
        self.assertIsNot(thread, threading.current_thread())
        self.assertEqual((thread.name, thread.daemon), ("upparat-test", True))

    def test_exception(self) -> None:
        done = defer_to_daemon_thread(self.reactor.as_reactor, lambda: int("no"), "test")
        self.reactor.turn()
        self.assertIn("no", str(self.failureResultOf(done, ValueError).value))

    def test_no_more_threads(self) -> None:
        with patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
            done = defer_to_daemon_thread(self.reactor.as_reactor, lambda: None, "test")
        self.failureResultOf(done, RuntimeError)

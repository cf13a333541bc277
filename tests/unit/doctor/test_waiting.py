"""Calls that hang do not hold up the examination."""

from __future__ import annotations

import threading

from twisted.trial.unittest import SynchronousTestCase

from upparat.doctor.waiting import within


class WaitingTests(SynchronousTestCase):
    def test_what_the_call_returns_or_raises(self) -> None:
        self.assertEqual(within(5.0, lambda: 7), 7)
        self.assertRaises(ZeroDivisionError, within, 5.0, lambda: 1 // 0)

    def test_a_call_that_hangs(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)
        self.assertRaises(TimeoutError, within, 0.01, release.wait)

"""A call that is made later, once."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upparat.oneshot import OneShot


class OneShotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.shot = OneShot(self.clock)
        self.calls: list[object] = []

    def test_once(self) -> None:
        self.shot.start(2, self.calls.append, "a")
        self.assertTrue(self.shot.running)
        self.clock.pump([1, 1, 5])
        self.assertEqual(self.calls, ["a"])
        self.assertFalse(self.shot.running)

    def test_replaced(self) -> None:
        self.shot.start(2, self.calls.append, "a")
        self.shot.start(3, self.calls.append, "b")
        self.clock.advance(5)
        self.assertEqual(self.calls, ["b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_postponed(self) -> None:
        self.shot.postpone(1)
        self.shot.start(2, self.calls.append, "a")
        self.clock.advance(1)
        self.shot.postpone(2)
        self.clock.advance(1.5)
        self.assertEqual(self.calls, [])
        self.clock.advance(0.5)
        self.assertEqual(self.calls, ["a"])

    def test_cancelled_in_any_order(self) -> None:
        self.shot.cancel()
        self.shot.start(2, self.calls.append, "a")
        self.shot.cancel()
        self.shot.cancel()
        self.assertFalse(self.shot.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_started_again_by_its_own_call(self) -> None:
        def call(left: int) -> None:
            self.assertFalse(self.shot.running)
            self.calls.append(left)
            if left:
                self.shot.start(1, call, left - 1)

        self.shot.start(1, call, 2)
        self.clock.pump([1, 1, 1, 1])
        self.assertEqual(self.calls, [2, 1, 0])

    def test_cancelled_by_its_own_call(self) -> None:
        self.shot.start(1, self.shot.cancel)
        self.clock.advance(1)
        self.assertFalse(self.shot.running)

    def test_remaining(self) -> None:
        self.assertIsNone(self.shot.remaining)
        self.shot.start(3, self.shot.cancel)
        self.clock.advance(1)
        self.assertEqual(self.shot.remaining, 2)
        self.clock.advance(2)
        self.assertIsNone(self.shot.remaining)

"""The timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upparat.timer import ReactorTimer


class TimerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.timer = ReactorTimer(self.clock)
        self.timer.events = self
        self.told: list[float] = []

    def timeout(self) -> None:
        self.told.append(self.clock.seconds())

    def test_once(self) -> None:
        self.timer.start(3.0)
        self.clock.pump([2.9, 0.1, 10.0])
        self.assertEqual(self.told, [3.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_replaced(self) -> None:
        self.timer.start(3.0)
        self.clock.advance(2.0)
        self.timer.start(3.0)
        self.clock.pump([1.0] * 5)
        self.assertEqual(self.told, [5.0])

    def test_cancelled(self) -> None:
        self.timer.cancel()
        self.timer.start(3.0)
        self.timer.cancel()
        self.timer.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled_when_over(self) -> None:
        self.timer.start(1.0)
        self.clock.advance(1.0)
        self.timer.cancel()
        self.assertEqual(self.told, [1.0])

    def test_started_by_its_own_event(self) -> None:
        def timeout() -> None:
            self.told.append(self.clock.seconds())
            if len(self.told) < 3:
                self.timer.start(2.0)

        self.timeout = timeout  # type: ignore[method-assign]
        self.timer.start(2.0)
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.told, [2.0, 4.0, 6.0])

    def test_now(self) -> None:
        self.clock.advance(7.5)
        self.assertEqual(self.timer.now(), 7.5)

    def test_remaining(self) -> None:
        self.assertIsNone(self.timer.remaining)
        self.timer.start(5.0)
        self.clock.advance(2.0)
        self.assertEqual(self.timer.remaining, 3.0)

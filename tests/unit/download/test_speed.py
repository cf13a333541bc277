"""The speed of a download."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.download.speed import SHORTEST, SPAN, Speed


class SpeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.speed = Speed()

    def test_unknown_at_first(self) -> None:
        self.assertIsNone(self.speed.rate)
        self.speed.note(0.0, 100)
        self.assertIsNone(self.speed.rate)

    def test_steady(self) -> None:
        for second in range(10):
            self.speed.note(second, 100 * second)
        self.assertAlmostEqual(self.speed.rate or 0, 100)

    def test_batches_that_come_close_together_are_one(self) -> None:
        self.speed.note(0.0, 0)
        self.speed.note(SHORTEST / 2, 1000)
        self.assertIsNone(self.speed.rate)
        self.speed.note(1.0, 1000)
        self.assertEqual(self.speed.rate, 1000)

    def test_a_change_is_followed_within_the_span(self) -> None:
        for second in range(10):
            self.speed.note(second, 100 * second)
        for second in range(int(SPAN)):
            self.speed.note(10 + second, 1000 * (second + 2))
        self.assertTrue(600 < (self.speed.rate or 0) < 1000, self.speed.rate)

    def test_a_download_that_begins_again(self) -> None:
        self.speed.note(0.0, 1000)
        self.speed.note(1.0, 2000)
        self.speed.note(2.0, 0)
        self.assertIsNone(self.speed.rate)
        self.speed.note(3.0, 10)
        self.assertEqual(self.speed.rate, 10)

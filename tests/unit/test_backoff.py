"""The arithmetic of waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from upparat.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    def test_ceilings_double_up_to_the_cap(self) -> None:
        ceilings = [Backoff().ceiling(attempt) for attempt in range(1, 10)]
        self.assertEqual(ceilings, [1, 2, 4, 8, 16, 32, 64, 64, 64])

    def test_delay_takes_any_part_of_the_ceiling(self) -> None:
        backoff = Backoff(base=2.0, cap=10.0)
        self.assertEqual(backoff.delay(2, lambda: 0.0), 0.0)
        self.assertEqual(backoff.delay(2, lambda: 0.5), 2.0)
        self.assertEqual(backoff.delay(3, lambda: 1.0), 8.0)

    def test_no_attempt_counts_as_the_first(self) -> None:
        self.assertEqual(Backoff().ceiling(0), 1.0)

    def test_many_attempts_do_not_overflow(self) -> None:
        self.assertEqual(Backoff().ceiling(1_000_000), 64.0)

    @RELAXED
    @given(st.integers(), st.floats(0, 1), st.floats(0.001, 1e6), st.floats(0.001, 1e6))
    def test_any(self, attempt: int, part: float, base: float, cap: float) -> None:
        backoff = Backoff(base=base, cap=cap)
        self.assertTrue(0.0 <= backoff.delay(attempt, lambda: part) <= cap)
        self.assertLessEqual(backoff.ceiling(attempt), backoff.ceiling(attempt + 1))

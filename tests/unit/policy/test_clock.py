"""Whether the clock can be right."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from upparat.policy.clock import believable, since_boot


class ClockTests(SynchronousTestCase):
    def test_a_time_before_the_release_is_wrong(self) -> None:
        for time, right in (
            (datetime(1970, 1, 1, tzinfo=UTC), False),
            (datetime(2026, 10, 31, 23, 59, tzinfo=UTC), False),
            (datetime(2026, 11, 1, tzinfo=UTC), True),
            (datetime(2040, 1, 1, tzinfo=UTC), True),
        ):
            self.assertEqual(believable(time.timestamp()), right, time)

    def test_the_other_clock_never_goes_back(self) -> None:
        first = since_boot()
        self.assertGreater(first, 0)
        self.assertGreaterEqual(since_boot(), first)

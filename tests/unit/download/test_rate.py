"""The rate on a clock."""

from __future__ import annotations

import math
import socket
from fractions import Fraction
from types import SimpleNamespace

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from upparat.download.rate import MIN_RATE_WINDOW, READ, SHARE, Pace, Rate


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_no_limit(self) -> None:
        rate = Rate(self.clock, 0)
        self.assertEqual((rate.take(10**9), rate.read), (0.0, READ))

    def test_bytes_take_their_time(self) -> None:
        rate = Rate(self.clock, 100)
        self.assertEqual([rate.take(50), rate.take(25)], [0.5, 0.75])
        self.clock.advance(0.75)
        self.assertAlmostEqual(rate.take(10), 0.1)

    def test_no_time_is_saved_up(self) -> None:
        """After an hour of silence nobody may send for an hour at once."""
        rate = Rate(self.clock, 100)
        self.clock.advance(3600)
        self.assertEqual(rate.take(100), 1.0)

    @RELAXED
    @given(
        st.floats(0, 10**9),
        st.integers(1, 10**9),
        st.lists(st.tuples(st.integers(1, READ), st.floats(0, 2))),
    )
    @example(300.0, 66_758_828, [(1, 0.0)])
    def test_never_faster(self, begin: float, limit: int, pieces: list[tuple[int, float]]) -> None:
        """Whoever waits as told has taken no more than the limit, beside one read.

        Five results are rounded for each piece: two in the rate (the quotient and the sum), its
        difference, the sum with the pause, and the clock's sum. None exceeds the clock's time by
        more than rounding, so that each is off by at most one ulp of that time.
        """
        clock = Clock()
        clock.advance(begin)
        rate, taken = Rate(clock, limit), 0
        for count, (size, pause) in enumerate(pieces, 1):
            size = min(size, rate.read)
            taken += size
            clock.advance(rate.take(size) + pause)
            elapsed = Fraction(clock.seconds()) - Fraction(begin)
            rounding = 5 * count * Fraction(math.ulp(clock.seconds()))
            self.assertGreaterEqual((elapsed + rounding) * limit, taken)

    def test_reads(self) -> None:
        for limit, read in ((1, 1), (8000, 1000), (10**9, READ)):
            self.assertEqual(Rate(self.clock, limit).read, read)

    def test_shape(self) -> None:
        with socket.socket() as handle:
            tcp = SimpleNamespace(bufferSize=65536, getHandle=lambda: handle)
            Rate(self.clock, 80_000).configure_transport(SimpleNamespace(transport=tcp))
            self.assertEqual(tcp.bufferSize, 80_000 // SHARE)
            ahead = handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            self.assertLessEqual(ahead, 80_000)

    def test_nothing_to_shape(self) -> None:
        Rate(self.clock, 1).configure_transport(None)


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[float] = []
        self.pace = self.make(10)

    def make(self, least: int) -> Pace:
        return Pace(self.clock, least, lambda: self.told.append(self.clock.seconds()))

    def bring(self, size: int, seconds: int) -> None:
        """So many bytes each second."""
        for _ in range(seconds):
            self.pace.take(size)
            self.clock.advance(1)

    def test_fast_enough(self) -> None:
        self.pace.go_on()
        self.bring(10, 600)
        self.pace.hold()
        self.assertEqual((self.told, self.pace.slow), ([], False))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_slow(self) -> None:
        self.pace.go_on()
        self.bring(9, 600)
        self.assertEqual((self.told, self.pace.slow), ([MIN_RATE_WINDOW], True))
        self.pace.go_on()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_window_counts_by_itself(self) -> None:
        """Bytes of the first minute do not pay for those that follow."""
        self.pace.go_on()
        self.pace.take(10**6)
        self.bring(9, 600)
        self.assertEqual((self.told, self.pace.slow), ([2 * MIN_RATE_WINDOW], True))

    def test_a_silence_that_is_allowed_is_no_slowness(self) -> None:
        self.pace = Pace(self.clock, 10, lambda: self.told.append(self.clock.seconds()), 90.0)
        self.pace.go_on()
        self.bring(0, 89)
        self.assertEqual(self.told, [])
        self.bring(0, 1)
        self.assertEqual(self.told, [90.0])

    def test_bursts_do_not_matter(self) -> None:
        self.pace.go_on()
        for _ in range(10):
            self.clock.advance(50)
            self.pace.take(600)
            self.clock.advance(10)
        self.assertEqual(self.told, [])

    def test_time_on_hold_does_not_count(self) -> None:
        self.pace.go_on()
        for _ in range(30):
            self.clock.advance(1)
            self.pace.hold()
            self.pace.hold()
            self.clock.advance(100)
            self.pace.go_on()
            self.pace.go_on()
        self.assertEqual(self.told, [])
        self.clock.advance(30)
        self.assertEqual(self.told, [30 * 101 + 30])

    def test_less_than_a_window(self) -> None:
        for size, slow in ((10, False), (9, True)):
            pace = self.make(10)
            pace.go_on()
            pace.take(size)
            self.clock.advance(1)
            pace.hold()
            self.clock.advance(100)
            self.assertIs(pace.slow, slow)

    def test_no_watch(self) -> None:
        self.pace = self.make(0)
        self.pace.go_on()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(600)
        self.pace.hold()
        self.assertEqual((self.told, self.pace.slow), ([], False))

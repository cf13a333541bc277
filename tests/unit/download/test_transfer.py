"""The attempts of a transfer, and the waits between them."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.download.bench import (
    Answer,
    Bench,
    broken,
    rest,
    whole,
)
from upparat.config.settings import DownloadSettings
from upparat.download.errors import IdleTimeout
from upparat.download.response import SLOW_DOWN
from upparat.download.writer import FLUSH_DELAY
from upparat.job import State
from upparat.snapshots import DownloadSnapshot, Wait, WaitKind


def drip(at: int, end: Exception) -> Answer:
    """One byte, slowly."""
    answer = rest(at, at + 1) if at else broken(1)
    return replace(answer, end=end, slow=True)


class BackOffTests(Bench):
    settings = DownloadSettings(max_attempts=20)

    def test_waits_double_up_to_a_cap(self) -> None:
        self.start(*[ConnectionError()] * 20)
        waits = []
        while not self.heard.outcome:
            waits.append(self.waits())
            self.reactor.advance(waits[-1])
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32] + [64] * 13)
        failed = ("download_failed", State.DOWNLOAD_FAILED, "ConnectionError (20 attempts)")
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.asked), 20)

    def test_a_new_byte_renews_it(self) -> None:
        self.start(ConnectionError(), ConnectionError(), broken(4), ConnectionError(), rest(4))
        for wait in (1, 2, 1, 1):
            self.assertEqual(self.waits(), wait)
            self.reactor.advance(wait)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_the_same_bytes_again_do_not(self) -> None:
        self.start(*[broken(4) for _ in range(4)], whole())  # Range is ignored
        for wait in (1, 1, 2, 4):
            self.assertEqual(self.waits(), wait)
            self.reactor.advance(wait)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_retry_after_is_honoured(self) -> None:
        self.start(Answer(503, {"retry-after": "100"}), Answer(503, {"retry-after": "1"}), whole())
        self.assertEqual(self.waits(), 100)
        self.reactor.advance(100)
        self.assertEqual(self.waits(), 2)
        self.reactor.advance(2)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_fleet_is_spread(self) -> None:
        """The random number is 1 here, and otherwise less."""
        slow = b"<Error><Code>SlowDown</Code></Error>"
        self.start(Answer(503, body=slow), Answer(503, {"retry-after": "100"}, body=slow), whole())
        self.assertEqual(self.waits(), 2 * SLOW_DOWN)
        self.reactor.advance(2 * SLOW_DOWN)
        self.assertEqual(self.waits(), 100 + SLOW_DOWN)

    def test_slow_attempts_in_a_row_fail(self) -> None:
        """Each brings a new byte."""
        slow = IdleTimeout("slower than 5 bytes/s for 60 s")
        pieces = [drip(n, slow) for n in range(9)]
        self.use(max_attempts=4)
        self.start(*pieces)
        for wait in (1, 2, 4):
            self.assertEqual(self.waits(), wait)
            self.reactor.advance(wait)
        message = "slower than 5 bytes/s for 60 s at 4 of 10 bytes (4 attempts)"
        failed = ("download_failed", State.DOWNLOAD_FAILED, message)
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.asked), 4)

    def test_a_cut_does_not_make_up_for_slowness(self) -> None:
        self.use(max_attempts=2)
        self.start(drip(0, ConnectionError()), drip(1, ConnectionError()))
        self.reactor.advance(1)
        message = "ConnectionError at 2 of 10 bytes (2 attempts)"
        failed = ("download_failed", State.DOWNLOAD_FAILED, message)
        self.assertEqual(self.heard.outcome, failed)

    def test_a_fast_attempt_renews_what_slow_ones_have_used(self) -> None:
        self.use(max_attempts=2)
        slow = ConnectionError()
        self.start(drip(0, slow), rest(1, 4), drip(4, slow), rest(5))
        self.reactor.pump([1] * 3)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_what_was_gained_before_a_stop_counts(self) -> None:
        self.use(max_attempts=2)
        self.start(ConnectionError(), replace(broken(4), end=None))
        self.reactor.advance(1)
        self.reactor.advance(FLUSH_DELAY)
        self.downloader.stop()
        self.start(ConnectionError())
        self.assertEqual(self.waits(), 1)

    def use(self, max_attempts: int) -> None:
        self.settings = DownloadSettings(max_attempts=max_attempts)
        self.new()

    def test_stop_ends_the_wait(self) -> None:
        self.start(ConnectionError())
        self.downloader.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.heard.events, [])


class SnapshotTests(Bench):
    def test_bytes_and_speed(self) -> None:
        self.assertIsNone(self.downloader.snapshot())
        answer = Answer(length=1000, end=None)
        self.start(answer)
        self.assertEqual(self.downloader.snapshot(), DownloadSnapshot())
        for _ in range(5):
            answer.receive(b"x" * 100)
            self.reactor.advance(1.0)
        self.assertEqual(self.downloader.snapshot(), DownloadSnapshot(500, 1000, 100.0))
        self.downloader.stop()
        self.assertIsNone(self.downloader.snapshot())

    def test_a_wait_for_the_next_attempt(self) -> None:
        self.start(broken(4), Answer(length=10, end=None))
        self.reactor.advance(0.25)
        wait = Wait(WaitKind.DOWNLOAD, "ConnectionError at 4 of 10 bytes", 0.75)
        self.assertEqual(self.downloader.snapshot(), DownloadSnapshot(4, 10, wait=wait))
        self.reactor.advance(0.75)
        self.assertEqual(self.downloader.snapshot(), DownloadSnapshot(4, 10))

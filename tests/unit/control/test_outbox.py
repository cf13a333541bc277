"""The messages for a client that reads slowly, or not at all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.control.bench import FakeTransport
from upparat.control.outbox import MAX_WAITING, Outbox


class OutboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.transport = FakeTransport()
        self.overflows = 0
        self.outbox = Outbox(self.transport, self.overflowed)

    def overflowed(self) -> None:
        self.overflows += 1

    def written(self) -> bytes:
        written: bytes = self.transport.value()
        self.transport.clear()
        return written

    def test_at_once(self) -> None:
        self.outbox.send(b"a")
        self.assertEqual(self.written(), b"a")
        self.assertTrue(self.outbox.idle)

    def test_later(self) -> None:
        self.outbox.pauseProducing()
        self.outbox.send(b"a")
        self.outbox.send(b"b")
        self.assertEqual(self.written(), b"")
        self.assertFalse(self.outbox.idle)
        self.outbox.resumeProducing()
        self.assertEqual(self.written(), b"ab")
        self.assertTrue(self.outbox.idle)

    def test_a_long_answer_is_taken_as_it_is_read(self) -> None:
        taken: list[int] = []

        def lines(count: int) -> bytes:
            taken.append(count)
            if count == 2:
                self.outbox.pauseProducing()
            return b"%d" % count

        self.outbox.answer(map(lines, range(5)))
        self.outbox.send(b"x")
        self.outbox.finish()
        self.assertEqual((self.written(), taken), (b"012", [0, 1, 2]))
        self.assertFalse(self.transport.disconnecting)
        self.outbox.resumeProducing()
        self.assertEqual(self.written(), b"34x")
        self.assertTrue(self.transport.disconnecting)

    def test_what_waits_is_bounded(self) -> None:
        self.outbox.pauseProducing()
        self.outbox.send(bytes(MAX_WAITING))
        self.assertEqual(self.overflows, 0)
        self.outbox.send(b"a")
        self.assertEqual(self.overflows, 1)

    def test_what_was_read_counts_no_more(self) -> None:
        for _ in range(3):
            self.outbox.pauseProducing()
            self.outbox.send(bytes(MAX_WAITING))
            self.outbox.resumeProducing()
        self.assertEqual(self.overflows, 0)

    def test_the_end_comes_when_all_is_written(self) -> None:
        self.outbox.pauseProducing()
        self.outbox.send(b"a")
        self.outbox.finish()
        self.assertFalse(self.transport.disconnecting)
        self.outbox.resumeProducing()
        self.assertEqual(self.written(), b"a")
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)

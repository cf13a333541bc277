"""Batches on their way to the disk; the thread works when the test says so."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from tests.support.downloads import KEY, make_job
from upparat.download.partial import DiskError, FileMismatch, PartialDownload
from upparat.download.writer import BATCH, FLUSH_DELAY, Writer
from upparat.storage.directory import Store
from upparat.storage.part import PartialFile


class Bench(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.files = Store(Path(self.mktemp())).files(KEY)
        self.files.directory.mkdir(parents=True)
        self.held: list[tuple[Callable[[], None], Deferred[None]]] = []
        self.told: list[object] = []
        self.make()

    def make(self, size: int | None = None) -> None:
        self.files.part.unlink(missing_ok=True)
        self.part = PartialFile(self.files)
        self.addCleanup(self.part.close)
        partial = PartialDownload(make_job("https://h/f", size=size), self.part)
        self.writer = Writer(self.clock, partial, self, self.put)

    # --- the flow, and the thread ---

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def written(self) -> None:
        self.told.append(self.part.length)

    def put(self, data: bytes) -> Deferred[None]:
        return self.hold(data).addCallback(lambda _: self.written())

    def hold(self, data: bytes) -> Deferred[None]:
        self.assertEqual(self.held, [], "two at a time")
        over: Deferred[None] = Deferred()
        self.held.append((lambda: self.part.write(data), over))
        return over

    def work(self) -> None:
        """Let the thread do its batch."""
        [(work, over)] = self.held
        self.held.clear()
        maybeDeferred(work).chainDeferred(over)

    def ending(self, end: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(end)

    def content(self) -> bytes:
        return self.files.part.read_bytes()


class WriterTests(Bench):
    def test_a_moment(self) -> None:
        """A slow line's bytes go together, but soon."""
        self.writer.take(b"0")
        self.clock.advance(FLUSH_DELAY / 2)
        self.writer.take(b"1")
        self.assertEqual(self.held, [])
        self.clock.advance(FLUSH_DELAY / 2)
        self.work()
        self.assertEqual((self.content(), self.told), (b"01", [2]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_batch(self) -> None:
        self.writer.take(bytes(BATCH - 1))
        self.assertEqual(self.held, [])
        self.writer.take(b"x")
        self.work()
        self.assertEqual(self.told, [BATCH])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_disk_that_is_slower_than_the_line(self) -> None:
        for _ in range(2):
            self.writer.take(bytes(BATCH))
        self.writer.take(b"the last that was on its way")
        self.assertEqual(self.told, ["pause"])
        self.work()
        self.assertEqual(self.told, ["pause", BATCH, "resume"])
        self.work()
        self.assertEqual(self.told[-1], 2 * BATCH + 28)

    def test_finish(self) -> None:
        self.writer.take(bytes(BATCH))
        self.writer.take(b"rest")
        end = self.ending(self.writer.finish())
        self.work()
        self.assertNoResult(end)
        self.work()
        self.successResultOf(end)
        self.assertEqual(self.content(), bytes(BATCH) + b"rest")
        self.assertEqual(self.part.sha256, hashlib.sha256(self.content()).hexdigest())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_finish_in_the_first_moment(self) -> None:
        self.writer.take(b"all")
        end = self.ending(self.writer.finish())
        self.work()
        self.successResultOf(end)
        self.assertEqual(self.content(), b"all")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing(self) -> None:
        self.successResultOf(self.ending(self.writer.finish()))

    def test_stop(self) -> None:
        """The batch at work is waited for, the rest is left out."""
        self.writer.take(bytes(BATCH))
        self.writer.take(b"rest")
        end = self.ending(self.writer.stop())
        self.assertNoResult(end)
        self.work()
        self.successResultOf(end)
        self.assertEqual((len(self.content()), self.held), (BATCH, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_much(self) -> None:
        self.make(size=3)
        self.writer.take(b"012")
        problem = self.assertRaises(FileMismatch, self.writer.take, b"3")
        self.assertEqual(str(problem), "size: expected 3 bytes, the server sends more")

    @RELAXED
    @given(st.lists(st.tuples(st.integers(0, BATCH), st.sampled_from(["", "work", "wait"]))))
    def test_any(self, pieces: list[tuple[int, str]]) -> None:
        """In whatever pieces and whatever order it happens, all bytes arrive in order."""
        self.make()
        expected = hashlib.sha256()
        for number, (size, then) in enumerate(pieces):
            piece = bytes([number % 256]) * size
            expected.update(piece)
            self.writer.take(piece)
            if then == "wait":
                self.clock.advance(FLUSH_DELAY)
            elif then and self.held:
                self.work()
        end = self.ending(self.writer.finish())
        while self.held:
            self.work()
        self.successResultOf(end)
        self.assertEqual(self.part.sha256, expected.hexdigest())
        self.assertEqual(hashlib.sha256(self.content()).hexdigest(), expected.hexdigest())
        self.assertEqual(self.told.count("pause"), self.told.count("resume"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.told.clear()


class FailureTests(Bench):
    def fill_disk(self) -> None:
        self.held[0] = (self.no_room, self.held[0][1])
        self.work()

    def no_room(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def test_the_next_bytes_are_refused(self) -> None:
        self.writer.take(bytes(BATCH))
        self.writer.take(bytes(BATCH))
        self.fill_disk()
        self.assertEqual((self.told, self.held), (["pause", "resume"], []))
        problem = self.assertRaises(DiskError, self.writer.take, b"x")
        self.assertEqual(problem.error.errno, errno.ENOSPC)
        self.clock.advance(FLUSH_DELAY)
        self.assertEqual(self.held, [])

    def test_the_end_tells(self) -> None:
        self.writer.take(bytes(BATCH))
        end = self.ending(self.writer.finish())
        self.fill_disk()
        self.failureResultOf(end, DiskError)

    def test_a_failure_before_the_end(self) -> None:
        self.writer.take(bytes(BATCH))
        self.fill_disk()
        self.failureResultOf(self.ending(self.writer.finish()), DiskError)

    def test_stop_does_not_care(self) -> None:
        self.writer.take(bytes(BATCH))
        end = self.ending(self.writer.stop())
        self.fill_disk()
        self.successResultOf(end)

    def test_a_listener_that_raises(self) -> None:
        self.written = self.nothing_works  # type: ignore[method-assign]
        self.make()
        self.writer.take(bytes(BATCH))
        self.work()
        self.assertRaises(ZeroDivisionError, self.writer.take, b"x")

    def nothing_works(self) -> None:
        raise ZeroDivisionError

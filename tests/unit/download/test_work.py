"""Work in threads, which a stop leaves behind."""

from __future__ import annotations

import errno

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.download.bench import FakeReactor
from upparat.download.partial import DiskError
from upparat.download.work import BackgroundWork
from upparat.storage.part import Stopped


class WorkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.work = BackgroundWork(self.reactor)  # type: ignore[arg-type]

    def test_a_result(self) -> None:
        done = Deferred.fromCoroutine(self.work.run(lambda: 5))
        self.assertEqual(self.successResultOf(done), 5)

    def test_a_failing_disk(self) -> None:
        def fail() -> None:
            raise OSError(errno.EIO, "Input/output error")

        done = Deferred.fromCoroutine(self.work.run(fail))
        problem = self.failureResultOf(done, DiskError).value
        self.assertEqual(problem.error.errno, errno.EIO)

    def test_a_stop(self) -> None:
        """What runs in the thread asks whether it is still wanted."""
        self.reactor.pool.held = []
        done = Deferred.fromCoroutine(self.work.run(lambda: None))
        self.assertTrue(self.work.wanted())
        self.work.scope.stop()
        self.failureResultOf(done, CancelledError)
        self.assertFalse(self.work.wanted())

    def test_work_that_has_seen_a_stop(self) -> None:
        def stopped() -> None:
            raise Stopped

        done = Deferred.fromCoroutine(self.work.run(stopped))
        self.failureResultOf(done, CancelledError)

    def test_a_write_goes_on_after_a_stop(self) -> None:
        self.reactor.pool.held = []
        written = self.work.write(lambda: None)
        self.work.scope.stop()
        self.assertNoResult(written)
        [write] = self.reactor.pool.held
        write()
        self.successResultOf(written)

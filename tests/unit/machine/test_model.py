"""The data of the machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import Bench, execution, key
from tests.unit.machine.bench import IN_PROGRESS, QUEUED, summary
from upparat.job import Job
from upparat.machine.model import Pause, Selection
from upparat.snapshots import JobSnapshot, Wait, WaitKind


class SelectionTests(SynchronousTestCase):
    def test_the_first_one_is_next(self) -> None:
        first, second = summary("a", IN_PROGRESS), summary("b")
        self.assertEqual(Selection([first, second]).next, first)
        self.assertIsNone(Selection([]).next)
        self.assertFalse(Selection([first]).full)

    def test_queued_ones_do_not_matter_while_ours_is_in_progress(self) -> None:
        ours = [execution("a", IN_PROGRESS)]
        self.assertIsNone(Selection([summary("b", QUEUED)], ours).next)
        other = summary("c", IN_PROGRESS)
        self.assertEqual(Selection([other, summary("b")], ours).next, other)


class CoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bench = Bench()
        self.core = self.bench.core

    def test_no_job(self) -> None:
        self.assertIsNone(self.core.in_hand)
        self.assertIsNone(self.core.snapshot())

    def test_a_job_without_its_secrets(self) -> None:
        job = Job(execution("a"), "2.0", "https://s3/f?secret", meta="secret", force=True, size=9)
        self.core.job = job
        self.assertEqual(self.core.in_hand, key("a"))
        snapshot = self.core.snapshot()
        self.assertEqual(snapshot, JobSnapshot(key("a"), "2.0", True, 9))
        self.assertNotIn("secret", repr(snapshot))

    def test_the_timer_has_a_meaning_while_it_runs(self) -> None:
        self.assertIsNone(self.core.wait(3.0))
        self.core.wait_for(Pause(WaitKind.RESTART_GRACE, "why"), 10.0)
        self.assertEqual(self.bench.taken(), [("timer", 10.0)])
        self.assertEqual(self.core.wait(7.5), Wait(WaitKind.RESTART_GRACE, "why", 7.5))
        self.assertIsNone(self.core.wait(None))

    def test_the_time_of_giving_up(self) -> None:
        now = self.bench.timer.time
        self.core.wait_for(Pause(WaitKind.RESTART_TIMEOUT, "why", now + 300), 60.0)
        self.bench.timer.time += 20
        wait = Wait(WaitKind.RESTART_TIMEOUT, "why", 40.0, 280.0)
        self.assertEqual(self.core.wait(40.0), wait)

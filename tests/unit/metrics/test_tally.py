"""The tally of what happens."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from upparat.job import ExecutionKey, Hook
from upparat.metrics.tally import Tally
from upparat.snapshots import EndedJob


class Journal:
    """A journal of attempts, which notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def last_attempt(self, key: ExecutionKey, hook: Hook) -> tuple[int, float] | None:
        return 7, 8.0

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        self.told.append(("begun", hook, retry, elapsed))

    def waiting(self, key: ExecutionKey, hook: Hook) -> None:
        self.told.append(("waiting", hook))

    def over(self, key: ExecutionKey, hook: Hook) -> None:
        self.told.append(("over", hook))

    def left(self, key: ExecutionKey) -> None:
        self.told.append(("left",))


class TallyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tally = Tally(self.clock.seconds, "idle")

    def test_the_time_in_each_state(self) -> None:
        for state, seconds in (("monitor", 1), ("download", 10), ("monitor", 20)):
            self.clock.advance(seconds)
            self.tally.moved(state)
        self.clock.advance(300)
        spent = {state: seconds for state, seconds in self.tally.spent.items() if seconds}
        self.assertEqual(spent, {"idle": 1, "monitor": 310, "download": 20})
        self.assertEqual(self.tally.state, "monitor")

    def test_jobs(self) -> None:
        for status, state in (
            ("SUCCEEDED", "complete_ready"),
            ("", "ended_by_others"),
            ("SUCCEEDED", "complete_ready"),
        ):
            self.tally.ended(EndedJob(key("a"), "2.0", status, state, "none"))
        ended = {("SUCCEEDED", "complete_ready"): 2, ("", "ended_by_others"): 1}
        self.assertEqual(+self.tally.jobs, ended)

    def test_connections(self) -> None:
        self.tally.connected()
        self.tally.disconnected("why")
        self.tally.connected()
        self.tally.received("topic", b"payload")
        self.assertEqual((self.tally.connections, self.tally.disconnections), (2, 1))

    def test_runs_of_hooks(self) -> None:
        journal = Journal()
        counting = self.tally.counting(journal)
        for retry in range(3):
            counting.begun(key(), Hook.INSTALL, retry, retry * 60.0)
        counting.begun(key(), Hook.READY, 0, 0.0)
        self.assertEqual(+self.tally.hook_runs, {Hook.INSTALL: 3, Hook.READY: 1})
        self.assertEqual(+self.tally.hook_retries, {Hook.INSTALL: 2})
        self.assertEqual(journal.told[2], ("begun", Hook.INSTALL, 2, 120.0))

    def test_the_journal_hears_the_rest(self) -> None:
        journal = Journal()
        counting = self.tally.counting(journal)
        self.assertEqual(counting.last_attempt(key(), Hook.READY), (7, 8.0))
        counting.waiting(key(), Hook.READY)
        counting.over(key(), Hook.READY)
        counting.left(key())
        told = [("waiting", Hook.READY), ("over", Hook.READY), ("left",)]
        self.assertEqual(journal.told, told)
        self.assertEqual(+self.tally.hook_runs, {})

    def test_what_has_not_happened_is_counted_too(self) -> None:
        """A rate needs the count before the first one."""
        self.assertEqual(self.tally.jobs["FAILED", "download_failed"], 0)
        self.assertIn(("FAILED", "download_failed"), self.tally.jobs)
        self.assertIn(("", "ended_by_others"), self.tally.jobs)
        self.assertNotIn(("IN_PROGRESS", "download_start"), self.tally.jobs)
        self.assertEqual(set(self.tally.hook_runs), set(Hook))
        self.assertIn("wind_down", self.tally.spent)

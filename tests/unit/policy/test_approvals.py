"""What people decide, who may, and what the log says of it."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from tests.unit.policy.bench import DAY, HOUR, Device, Rules, job
from upparat.job import ExecutionKey
from upparat.policy.approvals import LONGEST, Approvals
from upparat.policy.rules import StepRule
from upparat.ports import JobStep

ROOT = 0
USER = 12_345
PID = 77


class ApprovalTests(SynchronousTestCase):
    def setUp(self) -> None:
        rules = Rules(install=StepRule.ASK, restart=StepRule.ASK)
        self.device = Device(Path(self.mktemp()).absolute(), rules)
        self.in_hand: ExecutionKey | None = key()
        self.approvals = Approvals(self.device.gate, [USER], lambda: self.in_hand)

    def wait(self, step: JobStep) -> None:
        self.device.gate.wait(step, job())
        self.device.events.taken()

    def taken(self) -> list[str]:
        return self.device.events.taken()

    # --- steps ---

    def test_the_step_that_waits(self) -> None:
        self.wait(JobStep.INSTALL)
        said = self.approvals.approve(None, None, USER, PID)
        self.assertEqual((said, self.taken()), ("a: install is approved", ["permitted"]))
        self.assertTrue(self.device.gate.holds(JobStep.RESTART, job()))

    def test_a_step_ahead_of_its_time(self) -> None:
        self.wait(JobStep.INSTALL)
        self.assertEqual(
            self.approvals.approve("restart", "a", USER, PID), "a: restart is approved"
        )
        self.assertEqual(self.taken(), [])
        self.assertFalse(self.device.gate.holds(JobStep.RESTART, job()))

    def test_an_approval_survives_a_power_cut(self) -> None:
        self.approvals.approve("restart", "a", USER, PID)
        self.device.restart()
        self.assertFalse(self.device.gate.holds(JobStep.RESTART, job()))

    def test_nothing_waits(self) -> None:
        error = self.assertRaises(ValueError, self.approvals.approve, None, None, USER, PID)
        self.assertEqual(str(error), "no step of job a waits: name the step")

    def test_an_approval_ends_a_deferral_and_no_pause(self) -> None:
        self.wait(JobStep.INSTALL)
        self.approvals.defer("a", DAY, USER, PID)
        self.approvals.pause(HOUR, USER, PID)
        self.taken()
        self.approvals.approve(None, None, USER, PID)
        self.assertEqual(self.taken(), [])
        self.approvals.resume(USER, PID)
        self.assertEqual(self.taken(), ["permitted"])

    # --- deferrals and pauses ---

    def test_a_deferral(self) -> None:
        self.device.rules.install = StepRule.ALWAYS
        said = self.approvals.defer("a", HOUR, USER, PID)
        self.assertEqual(said, "a: the job is deferred for 3600 s")
        self.wait(JobStep.INSTALL)
        self.device.clocks.advance(HOUR - 1)
        self.assertEqual(self.taken(), [])
        self.device.clocks.advance(1)
        self.assertEqual(self.taken(), ["permitted"])

    def test_a_deferral_reports_anew(self) -> None:
        self.wait(JobStep.INSTALL)
        self.approvals.defer("a", HOUR, USER, PID)
        self.assertEqual(
            self.taken(), ["install waits: somebody has deferred it until 2027-01-15 13:00 UTC"]
        )
        self.device.clocks.advance(HOUR)
        self.assertEqual(self.taken(), ["install waits: somebody has to approve it"])

    def test_a_pause_holds_any_step_until_it_ends(self) -> None:
        self.device.rules.install = StepRule.ALWAYS
        self.assertEqual(self.approvals.pause(HOUR, USER, PID), "the agent is paused for 3600 s")
        self.assertTrue(self.device.gate.holds(JobStep.INSTALL, job()))
        self.wait(JobStep.INSTALL)
        self.assertEqual(self.approvals.resume(USER, PID), "the agent is not paused")
        self.assertEqual(self.taken(), ["permitted"])

    def test_a_pause_without_a_time_ends_as_well(self) -> None:
        self.approvals.pause(None, USER, PID)
        self.assertEqual(self.device.gate.ledger.paused, LONGEST)

    def test_no_job_is_needed_for_a_pause(self) -> None:
        self.in_hand = None
        self.approvals.pause(HOUR, USER, PID)
        self.approvals.resume(USER, PID)

    def test_times_that_make_no_sense(self) -> None:
        for seconds in (0.0, -1.0, LONGEST + 1):
            self.assertRaises(ValueError, self.approvals.defer, "a", seconds, USER, PID)
            self.assertRaises(ValueError, self.approvals.pause, seconds, USER, PID)
        self.approvals.defer("a", LONGEST, USER, PID)

    # --- which job, and who ---

    def test_another_job(self) -> None:
        error = self.assertRaises(LookupError, self.approvals.defer, "b", 1.0, USER, PID)
        self.assertEqual(str(error), "job b is not in hand; job a is")
        self.assertRaises(LookupError, self.approvals.approve, "restart", "b", USER, PID)
        self.in_hand = None
        error = self.assertRaises(LookupError, self.approvals.approve, None, None, USER, PID)
        self.assertEqual(str(error), "the agent has no job in hand")

    def test_who_may(self) -> None:
        for uid in (ROOT, os.geteuid(), USER):
            self.approvals.pause(HOUR, uid, PID)
        for decide in (
            lambda: self.approvals.approve("restart", None, USER + 1, PID),
            lambda: self.approvals.defer("a", HOUR, USER + 1, PID),
            lambda: self.approvals.pause(None, USER + 1, PID),
            lambda: self.approvals.resume(USER + 1, PID),
        ):
            error = self.assertRaises(PermissionError, decide)
            self.assertEqual(str(error), "user 12346 may not decide: see [policy] users")
        self.assertEqual(self.device.gate.ledger.paused, HOUR)

    def test_the_agents_user_is_that_of_now(self) -> None:
        """twistd makes the agent before it gives up the rights of root."""
        self.patch(os, "geteuid", lambda: USER + 1)
        self.approvals.pause(HOUR, USER + 1, PID)

    def test_the_log_says_who(self) -> None:
        with capturedLogs() as events:
            self.approvals.approve("restart", None, USER, PID)
            self.approvals.pause(HOUR, ROOT, PID)
        lines = [(formatEvent(event), event.get("execution")) for event in events]
        self.assertEqual(
            lines,
            [
                ("a: restart is approved, by user 12345, process 77", key()),
                ("the agent is paused for 3600 s, by user 0, process 77", None),
            ],
        )

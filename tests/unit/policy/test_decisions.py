"""Decisions: each rule, each word of people, and which of them is stronger."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.policy.bench import BOOTED_1970, DAY, HOUR, NOON, Rules, job
from upparat.job import Job, State, Status
from upparat.policy.decisions import Hold, Standing, decide, report_of, rule_of, sentence
from upparat.policy.rules import StepRule
from upparat.ports import JobStep
from upparat.snapshots import WaitKind

OPENING = NOON + 14 * HOUR
JOB = job()


def decided(
    rule: StepRule = StepRule.ALWAYS,
    *,
    job: Job = JOB,
    paused: float = 0.0,
    now: float = NOON,
    deadline: float | None = None,
    force_skips_policy: bool = False,
    **standing: Any,
) -> Hold | None:
    """The decision on a restart with this rule."""
    rules = Rules(restart=rule, deadline=deadline, force_skips_policy=force_skips_policy)
    return decide(rules, JobStep.RESTART, job, Standing(**standing), paused, now)


class RuleTests(SynchronousTestCase):
    def test_always(self) -> None:
        self.assertIsNone(decided())

    def test_a_window(self) -> None:
        self.assertEqual(decided(StepRule.WINDOW), Hold(WaitKind.WINDOW, OPENING))
        self.assertIsNone(decided(StepRule.WINDOW, now=OPENING))

    def test_consent(self) -> None:
        self.assertEqual(decided(StepRule.ASK), Hold(WaitKind.APPROVAL))
        self.assertEqual(decided(StepRule.ASK, now=OPENING), Hold(WaitKind.APPROVAL))

    def test_consent_or_a_window(self) -> None:
        rule = StepRule.ASK_OR_WINDOW
        self.assertEqual(decided(rule), Hold(WaitKind.APPROVAL, OPENING))
        self.assertIsNone(decided(rule, now=OPENING))

    def test_a_step_that_was_granted(self) -> None:
        for rule in StepRule:
            self.assertIsNone(decided(rule, granted={JobStep.RESTART}))
        self.assertEqual(
            decided(StepRule.ASK, granted={JobStep.DOWNLOAD, JobStep.INSTALL}),
            Hold(WaitKind.APPROVAL),
        )

    def test_each_step_has_its_rule(self) -> None:
        rules = Rules(download=StepRule.ASK, install=StepRule.WINDOW)
        self.assertEqual(
            [rule_of(rules, step) for step in JobStep],
            [StepRule.ASK, StepRule.WINDOW, StepRule.ALWAYS],
        )

    def test_a_window_that_is_missing(self) -> None:
        found = decide(
            Rules(restart=StepRule.WINDOW, window=None), JobStep.RESTART, JOB, Standing(), 0, 1
        )
        self.assertEqual(found, Hold(WaitKind.WINDOW))


class PeopleTests(SynchronousTestCase):
    def test_a_deferral(self) -> None:
        for rule in StepRule:
            self.assertEqual(
                decided(rule, deferred=HOUR, granted={JobStep.RESTART}),
                Hold(WaitKind.DEFERRAL, NOON + HOUR),
            )

    def test_a_pause_is_stronger_than_all(self) -> None:
        found = decided(
            job=job(force=True),
            force_skips_policy=True,
            paused=HOUR,
            deadline=DAY,
            waited=DAY,
            granted={JobStep.RESTART},
        )
        self.assertEqual(found, Hold(WaitKind.PAUSE, NOON + HOUR))


class ForceTests(SynchronousTestCase):
    def test_it_waits_as_others_do(self) -> None:
        forced = job(force=True)
        self.assertEqual(decided(StepRule.ASK, job=forced), Hold(WaitKind.APPROVAL))

    def test_it_may_skip_all(self) -> None:
        forced = job(force=True)
        for rule in StepRule:
            self.assertIsNone(decided(rule, job=forced, force_skips_policy=True, deferred=HOUR))
        self.assertEqual(decided(StepRule.ASK, force_skips_policy=True), Hold(WaitKind.APPROVAL))


class DeadlineTests(SynchronousTestCase):
    def test_it_is_told(self) -> None:
        found = decided(StepRule.ASK, deadline=7 * DAY, waited=6 * DAY)
        self.assertEqual(found, Hold(WaitKind.APPROVAL, None, NOON + DAY))

    def test_it_ends_each_wait_but_a_pause(self) -> None:
        for rule in StepRule:
            self.assertIsNone(decided(rule, deadline=DAY, waited=DAY, deferred=HOUR))
        self.assertIsNotNone(decided(StepRule.ASK, deadline=DAY, waited=DAY - 1))

    def test_what_comes_first_is_next(self) -> None:
        for hold, first in (
            (Hold(WaitKind.APPROVAL), None),
            (Hold(WaitKind.APPROVAL, 5.0), 5.0),
            (Hold(WaitKind.APPROVAL, None, 4.0), 4.0),
            (Hold(WaitKind.APPROVAL, 5.0, 4.0), 4.0),
        ):
            self.assertEqual(hold.next, first)


class ClockTests(SynchronousTestCase):
    def test_a_clock_that_is_wrong_is_in_no_window(self) -> None:
        at_night = BOOTED_1970 + 3 * HOUR
        self.assertEqual(decided(StepRule.WINDOW, now=at_night), Hold(WaitKind.CLOCK))
        self.assertEqual(decided(StepRule.ASK_OR_WINDOW, now=at_night), Hold(WaitKind.APPROVAL))

    def test_patience_ends(self) -> None:
        for rule in (StepRule.WINDOW, StepRule.ASK_OR_WINDOW):
            self.assertIsNotNone(decided(rule, now=BOOTED_1970, blind=DAY - 1, waited=9 * DAY))
            self.assertIsNone(decided(rule, now=BOOTED_1970, blind=DAY))
            self.assertIsNotNone(decided(rule, blind=DAY))
        self.assertIsNotNone(decided(StepRule.ASK, now=BOOTED_1970, blind=DAY))


class WordTests(SynchronousTestCase):
    def test_each_wait(self) -> None:
        for hold, text in (
            (Hold(WaitKind.WINDOW, OPENING), "the window opens at 2027-01-16 02:00 UTC"),
            (Hold(WaitKind.WINDOW), "no window opens"),
            (Hold(WaitKind.CLOCK), "the clock of the device is wrong"),
            (Hold(WaitKind.APPROVAL), "somebody has to approve it"),
            (
                Hold(WaitKind.APPROVAL, OPENING),
                "somebody has to approve it, or the window opens at 2027-01-16 02:00 UTC",
            ),
            (
                Hold(WaitKind.DEFERRAL, OPENING),
                "somebody has deferred it until 2027-01-16 02:00 UTC",
            ),
            (
                Hold(WaitKind.PAUSE, OPENING),
                "somebody has paused the agent until 2027-01-16 02:00 UTC",
            ),
            (
                Hold(WaitKind.APPROVAL, None, OPENING + 20),
                "somebody has to approve it; it begins at 2027-01-16 02:00 UTC at the latest",
            ),
            (Hold(WaitKind.CLOCK, None, BOOTED_1970), "the clock of the device is wrong"),
        ):
            self.assertEqual(sentence(JobStep.RESTART, hold), f"restart waits: {text}")

    def test_reports(self) -> None:
        for kind, state in (
            (WaitKind.WINDOW, State.WAITING_FOR_WINDOW),
            (WaitKind.CLOCK, State.WAITING_FOR_WINDOW),
            (WaitKind.APPROVAL, State.WAITING_FOR_APPROVAL),
            (WaitKind.DEFERRAL, State.WAITING_FOR_APPROVAL),
            (WaitKind.PAUSE, State.WAITING_FOR_APPROVAL),
        ):
            report = report_of(JobStep.INSTALL, Hold(kind, OPENING))
            self.assertEqual((report.state, report.status), (state, Status.IN_PROGRESS))
            self.assertEqual(report.message, sentence(JobStep.INSTALL, Hold(kind, OPENING)))

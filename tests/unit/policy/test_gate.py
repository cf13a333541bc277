"""The gate: steps that wait, what is reported, and what a power cut leaves."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from tests.unit.policy.bench import BOOTED_1970, DAY, HOUR, NIGHT, NOON, Device, Rules, job
from upparat.job import State
from upparat.policy.gate import LOOK
from upparat.policy.ledger import NAME
from upparat.policy.rules import StepRule
from upparat.ports import JobStep
from upparat.snapshots import Wait, WaitKind

WINDOW = "restart waits: the window opens at 2027-01-16 02:00 UTC"
CONSENT = "restart waits: somebody has to approve it"


class GateBench(SynchronousTestCase):
    def device(self, **rules: object) -> Device:
        directory = Path(self.mktemp()).absolute()
        return Device(directory, Rules(**rules))  # type: ignore[arg-type]

    def waits(self, device: Device, step: JobStep = JobStep.RESTART) -> list[str]:
        """Let the step wait, and return what the gate reports."""
        self.assertTrue(device.gate.holds(step, job()))
        device.gate.wait(step, job())
        return device.events.taken()


class HoldingTests(GateBench):
    def test_without_rules_nothing_waits_and_nothing_is_written(self) -> None:
        device = self.device()
        for step in JobStep:
            self.assertFalse(device.gate.holds(step, job()))
        self.assertFalse((device.directory / NAME).exists())
        self.assertEqual(device.clocks.getDelayedCalls(), [])

    def test_a_window_opens(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        self.assertEqual(self.waits(device), [WINDOW])
        self.assertEqual(device.events.reports[0].state, State.WAITING_FOR_WINDOW)
        device.clocks.pump([LOOK] * (14 * 60 - 1))
        self.assertEqual(device.events.taken(), [])
        device.clocks.advance(LOOK)
        self.assertEqual(device.events.taken(), ["permitted"])
        self.assertEqual(device.clocks.getDelayedCalls(), [])

    def test_the_clock_is_set_into_a_window(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        self.waits(device)
        device.clocks.wall += 15 * HOUR
        device.clocks.advance(LOOK)
        self.assertEqual(device.events.taken(), ["permitted"])

    def test_the_deadline_passes(self) -> None:
        device = self.device(restart=StepRule.ASK, deadline=DAY)
        told = f"{CONSENT}; it begins at 2027-01-16 12:00 UTC at the latest"
        self.assertEqual(self.waits(device), [told])
        device.clocks.pump([LOOK] * (24 * 60 - 1))
        self.assertEqual(device.events.taken(), [])
        device.clocks.advance(LOOK)
        self.assertEqual(device.events.taken(), ["permitted"])

    def test_the_agent_leaves(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        self.waits(device)
        device.gate.leave()
        self.assertIsNone(device.gate.waiting)
        self.assertEqual(device.clocks.getDelayedCalls(), [])
        device.gate.look()
        self.assertEqual(device.events.taken(), [])

    def test_a_step_that_may_begin_meanwhile(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        self.assertTrue(device.gate.holds(JobStep.RESTART, job()))
        device.clocks.wall += 15 * HOUR
        device.gate.wait(JobStep.RESTART, job())
        self.assertEqual(device.events.taken(), ["permitted"])

    def test_a_wrong_clock_that_is_set(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        device.restart(wall=BOOTED_1970)
        self.assertEqual(self.waits(device), ["restart waits: the clock of the device is wrong"])
        device.clocks.wall = NOON
        device.clocks.advance(LOOK)
        self.assertEqual(device.events.taken(), [WINDOW])

    def test_a_wrong_clock_that_nobody_sets(self) -> None:
        device = self.device(restart=StepRule.WINDOW, clock_patience=2 * HOUR)
        device.restart(wall=BOOTED_1970)
        self.waits(device)
        device.clocks.pump([LOOK] * 119)
        self.assertEqual(device.events.taken(), [])
        device.clocks.advance(LOOK)
        self.assertEqual(device.events.taken(), ["permitted"])


class RestartTests(GateBench):
    """Of the agent, and of the device."""

    def test_the_deadline_goes_on_over_restarts(self) -> None:
        device = self.device(restart=StepRule.ASK, deadline=7 * DAY)
        [told] = self.waits(device)
        for _ in range(6):
            device.clocks.advance(HOUR)
            device.restart(off=23 * HOUR)
            self.assertEqual(self.waits(device), [told])
        device.restart(off=23 * HOUR)
        self.assertEqual(self.waits(device), [told])
        device.clocks.advance(HOUR)
        self.assertEqual(device.events.taken(), ["permitted"])

    def test_a_step_that_has_begun_goes_on(self) -> None:
        device = self.device(restart=StepRule.WINDOW, window=NIGHT)
        self.waits(device)
        device.clocks.wall += 15 * HOUR
        device.clocks.advance(LOOK)
        device.restart(off=6 * HOUR)
        self.assertFalse(NIGHT.is_open(device.clocks.wall))
        self.assertFalse(device.gate.holds(JobStep.RESTART, job()))
        self.assertTrue(device.gate.holds(JobStep.RESTART, job("b")))

    def test_where_the_job_has_waited(self) -> None:
        device = self.device(restart=StepRule.ASK, install=StepRule.ASK)
        self.assertIsNone(device.gate.last_wait(key()))
        self.waits(device, JobStep.INSTALL)
        device.restart()
        self.assertEqual(device.gate.last_wait(key()), JobStep.INSTALL)
        self.assertIsNone(device.gate.last_wait(key("b")))
        device.gate.ledger.grant(JobStep.INSTALL)
        device.restart()
        self.assertIsNone(device.gate.last_wait(key()))

    def test_a_pause(self) -> None:
        device = self.device()
        device.gate.ledger.pause(2 * HOUR)
        device.restart(off=HOUR)
        [told] = self.waits(device)
        self.assertIn("somebody has paused the agent until 2027-01-15 14:00 UTC", told)
        device.restart()
        self.assertEqual(self.waits(device), [told])
        device.clocks.advance(HOUR)
        self.assertEqual(device.events.taken(), ["permitted"])


class StopTests(GateBench):
    def test_what_has_passed_is_kept(self) -> None:
        device = self.device(restart=StepRule.ASK)
        self.waits(device)
        device.clocks.advance(LOOK / 2)
        device.restart(wall=BOOTED_1970)
        self.assertEqual(device.gate.ledger.standing.waited, LOOK / 2)


class FaultTests(GateBench):
    def test_a_fault_holds_nothing_back(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        self.waits(device)
        device.gate.rules = None  # type: ignore[assignment]
        self.assertFalse(device.gate.holds(JobStep.RESTART, job()))
        device.clocks.advance(LOOK)
        self.assertEqual(device.events.taken(), ["permitted"])
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 2)

    def test_a_clock_that_no_calendar_has(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        device.clocks.wall = 1e15
        self.assertFalse(device.gate.holds(JobStep.RESTART, job()))
        self.assertEqual(len(self.flushLoggedErrors(ValueError, OverflowError, OSError)), 1)


class SnapshotTests(GateBench):
    def test_nothing(self) -> None:
        self.assertIsNone(self.device().gate.snapshot())

    def test_a_step(self) -> None:
        device = self.device(restart=StepRule.WINDOW)
        self.waits(device)
        self.assertEqual(device.gate.snapshot(), Wait(WaitKind.WINDOW, WINDOW, 14 * HOUR))
        device.clocks.advance(LOOK / 2)
        self.assertEqual(
            device.gate.snapshot(), Wait(WaitKind.WINDOW, WINDOW, 14 * HOUR - LOOK / 2)
        )

    def test_without_an_end(self) -> None:
        device = self.device(restart=StepRule.ASK)
        self.waits(device)
        self.assertEqual(device.gate.snapshot(), Wait(WaitKind.APPROVAL, CONSENT))

    def test_a_pause_without_a_job(self) -> None:
        device = self.device()
        device.gate.ledger.pause(HOUR)
        found = device.gate.snapshot()
        self.assertEqual(found, Wait(WaitKind.PAUSE, "somebody has paused the agent", HOUR))

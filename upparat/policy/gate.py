"""The ``Gate`` port: holds the steps of a job until their time has come or somebody consents."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from upparat.job import ExecutionKey, Job, Report
from upparat.oneshot import OneShot
from upparat.ports import Gate, GateEvents, JobStep
from upparat.snapshots import Wait, WaitKind

from .clock import since_boot
from .decisions import Hold, decide, report_of, rule_of, sentence
from .ledger import Ledger
from .rules import PolicyRules, StepRule

LOOK = 60.0
"""Seconds between two looks at the most, while a step waits: the clock may be set meanwhile."""


class PolicyGate:
    """Holds the steps of one job at a time. It raises nothing: a fault of its own lets steps pass.

    :param directory: the state directory.
    :param now: returns the time of day, in seconds since the epoch.
    :param elapsed: returns seconds on a clock that nobody sets.
    """

    log = Logger()
    events: GateEvents

    def __init__(
        self,
        clock: IReactorTime,
        rules: PolicyRules,
        directory: Path,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = since_boot,
    ) -> None:
        self.rules = rules
        self._now = now
        self._make_ledger = lambda: Ledger(directory, now, elapsed)
        self._ledger: Ledger | None = None
        self._next_look = OneShot(clock)
        self._waiting: tuple[JobStep, Job] | None = None
        self._told: Report | None = None

    @property
    def ledger(self) -> Ledger:
        """The ledger, as it is now."""
        if self._ledger is None:
            self._ledger = self._make_ledger()
        self._ledger.tick()
        return self._ledger

    @property
    def waiting(self) -> JobStep | None:
        """The step that waits."""
        return self._waiting[0] if self._waiting else None

    # --- the port ---

    def holds(self, step: JobStep, job: Job) -> bool:
        try:
            return self._decide(step, job) is not None
        except Exception:
            self._fault()
            return False

    def wait(self, step: JobStep, job: Job) -> None:
        self._waiting, self._told = (step, job), None
        self.look()

    def leave(self) -> None:
        self._next_look.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._keep()

    def _keep(self) -> None:
        """Keep how long the step has waited, if it still has to: the agent is being stopped."""
        try:
            if self.ledger.standing.step is not None:
                self.ledger.save()
        except Exception:
            self._fault()

    def last_wait(self, key: ExecutionKey) -> JobStep | None:
        try:
            return self.ledger.standing.step if self.ledger.key == key else None
        except Exception:
            self._fault()
            return None

    # --- decisions ---

    def look(self) -> None:
        """Look whether the step that waits may begin now."""
        if self._waiting is None:
            return
        try:
            hold = self._decide(*self._waiting)
        except Exception:
            self._fault()
            hold = None
        if hold is None:
            self.leave()
            self.events.permitted()
        else:
            self._go_on_waiting(self._waiting[0], hold)

    def _decide(self, step: JobStep, job: Job) -> Hold | None:
        """Decide, and note it: a step that was begun goes on after a crash."""
        ledger = self.ledger
        ledger.turn_to(job.key)
        hold = decide(self.rules, step, job, ledger.standing, ledger.paused, self._now())
        if hold is not None:
            ledger.wait(step)
            return self._steady(hold)
        if ledger.standing.step is step or rule_of(self.rules, step) is not StepRule.ALWAYS:
            ledger.grant(step)
        return None

    def _steady(self, hold: Hold) -> Hold:
        """Keep to the times that were told before."""
        until, latest, promise = hold.until, hold.latest, self.ledger.promise
        if until is not None and hold.kind in (WaitKind.PAUSE, WaitKind.DEFERRAL):
            until = promise(hold.kind, until)
        if latest is not None:
            latest = promise("deadline", latest)
        return replace(hold, until=until, latest=latest)

    def _go_on_waiting(self, step: JobStep, hold: Hold) -> None:
        seconds = LOOK if hold.next is None else hold.next - self._now()
        self._next_look.start(min(max(seconds, 1.0), LOOK), self.look)
        report = report_of(step, hold)
        if report != self._told:
            self._told = report
            self.events.held(report)

    def _fault(self) -> None:
        self.log.failure("The policy has raised: the step goes on as if there were none")

    # --- for the status ---

    def snapshot(self) -> Wait | None:
        """Return what the agent waits for; also a pause while it has no job."""
        paused = self.ledger.paused
        if self._waiting is not None:
            hold = self._decide_again(*self._waiting)
            if hold is not None:
                return self._as_wait(hold, sentence(self._waiting[0], hold))
        if paused:
            return Wait(WaitKind.PAUSE, "somebody has paused the agent", paused)
        return None

    def _decide_again(self, step: JobStep, job: Job) -> Hold | None:
        ledger = self.ledger
        hold = decide(self.rules, step, job, ledger.standing, ledger.paused, self._now())
        return self._steady(hold) if hold is not None else None

    def _as_wait(self, hold: Hold, why: str) -> Wait:
        seconds = None if hold.next is None else max(0.0, hold.next - self._now())
        return Wait(hold.kind, why, seconds)


def _is_port(gate: PolicyGate) -> Gate:
    return gate

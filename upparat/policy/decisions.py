"""Whether a step may begin: the rules, and what people have said, make one decision. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from upparat.job import Job, Report, State
from upparat.ports import JobStep
from upparat.snapshots import WaitKind

from .clock import believable
from .rules import PolicyRules, StepRule

_REPORTED = {
    WaitKind.WINDOW: State.WAITING_FOR_WINDOW,
    WaitKind.CLOCK: State.WAITING_FOR_WINDOW,
    WaitKind.APPROVAL: State.WAITING_FOR_APPROVAL,
    WaitKind.DEFERRAL: State.WAITING_FOR_APPROVAL,
    WaitKind.PAUSE: State.WAITING_FOR_APPROVAL,
}


@dataclass
class Standing:
    """What is known of a job; times are in seconds.

    :ivar granted: the steps that may begin: somebody has approved them, or their time has come.
    :ivar step: the step that waits.
    :ivar waited: how long the job has waited so far.
    :ivar blind: how long of that the clock was wrong.
    :ivar deferred: how long the job is still deferred.
    """

    granted: set[JobStep] = field(default_factory=set)
    step: JobStep | None = None
    waited: float = 0.0
    blind: float = 0.0
    deferred: float = 0.0


@dataclass(frozen=True)
class Hold:
    """A step has to wait; times are of the day, in seconds since the epoch.

    :ivar until: when it may begin; ``None`` if nobody knows.
    :ivar latest: when it begins whatever happens; ``None`` for never.
    """

    kind: WaitKind
    until: float | None = None
    latest: float | None = None

    @property
    def next(self) -> float | None:
        """When something changes by itself."""
        times = [each for each in (self.until, self.latest) if each is not None]
        return min(times) if times else None


def decide(
    rules: PolicyRules, step: JobStep, job: Job, standing: Standing, paused: float, now: float
) -> Hold | None:
    """Return why a step has to wait; ``None`` if it may begin.

    A pause holds every step, because somebody works on the device. Everything else ends at the
    deadline.

    :param paused: seconds that the agent is still paused.
    """
    if paused:
        return Hold(WaitKind.PAUSE, now + paused)
    if job.force and rules.force_skips_policy:
        return None
    left = None if rules.deadline is None else rules.deadline - standing.waited
    if left is not None and left <= 0:
        return None
    latest = None if left is None else now + left
    if standing.deferred:
        return Hold(WaitKind.DEFERRAL, now + standing.deferred, latest)
    rule = rule_of(rules, step)
    if rule is StepRule.ALWAYS or step in standing.granted:
        return None
    return _by_rule(rules, rule, standing, now, latest)


def rule_of(rules: PolicyRules, step: JobStep) -> StepRule:
    """The rule of a step."""
    by_step = {
        JobStep.DOWNLOAD: rules.download,
        JobStep.INSTALL: rules.install,
        JobStep.RESTART: rules.restart,
    }
    return by_step[step]


def _by_rule(
    rules: PolicyRules, rule: StepRule, standing: Standing, now: float, latest: float | None
) -> Hold | None:
    kind = WaitKind.APPROVAL if rule.asks else WaitKind.WINDOW
    if not rule.waits_for_window or rules.window is None:
        return Hold(kind, None, latest)
    if believable(now):
        opening = rules.window.next_opening(now)
        return None if opening == now else Hold(kind, opening, latest)
    if standing.blind >= rules.clock_patience:
        return None
    if not rule.asks:
        kind = WaitKind.CLOCK
    return Hold(kind, None, latest)


# --- words ------------------------------------------------------------------------------------


def sentence(step: JobStep, hold: Hold) -> str:
    """Say what a step waits for, and until when. The times are UTC."""
    until = "" if hold.until is None else shown(hold.until)
    texts = {
        WaitKind.WINDOW: f"the window opens at {until}" if until else "no window opens",
        WaitKind.CLOCK: "the clock of the device is wrong",
        WaitKind.APPROVAL: "somebody has to approve it"
        + (f", or the window opens at {until}" if until else ""),
        WaitKind.DEFERRAL: f"somebody has deferred it until {until}",
        WaitKind.PAUSE: f"somebody has paused the agent until {until}",
    }
    text = f"{step} waits: {texts[hold.kind]}"
    if hold.latest is not None and believable(hold.latest):
        text += f"; it begins at {shown(hold.latest)} at the latest"
    return text


def shown(moment: float) -> str:
    """A time of day as people read it: UTC, to the minute."""
    return f"{datetime.fromtimestamp(round(moment / 60) * 60, UTC):%Y-%m-%d %H:%M} UTC"


def report_of(step: JobStep, hold: Hold) -> Report:
    """The report on a step that waits."""
    return Report(_REPORTED[hold.kind], sentence(step, hold))

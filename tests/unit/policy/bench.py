"""The bench of the policy: rules, jobs, and the clocks of a device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twisted.internet.task import Clock

from tests.support.ports import execution
from upparat.job import Job, Report, parse_document
from upparat.policy.gate import PolicyGate
from upparat.policy.ledger import Ledger
from upparat.policy.rules import StepRule
from upparat.policy.windows import Windows, parse_windows

HOUR = 3600.0
DAY = 24 * HOUR
NOON = datetime(2027, 1, 15, 12, tzinfo=UTC).timestamp()
NIGHT = parse_windows("02:00-05:00", UTC)
BOOTED_1970 = 100.0


@dataclass
class Rules:
    """The options of ``[policy]``."""

    download: StepRule = StepRule.ALWAYS
    install: StepRule = StepRule.ALWAYS
    restart: StepRule = StepRule.ALWAYS
    window: Windows | None = NIGHT
    deadline: float | None = None
    clock_patience: float = DAY
    force_skips_policy: bool = False


def job(job_id: str = "a", *, force: bool = False, queued_at: int = 100) -> Job:
    return parse_document(execution(job_id, queued_at=queued_at, force=force))


class Clocks(Clock):
    """The clocks of a device; ``wall`` is the time of day, which may be set."""

    def __init__(self, wall: float = NOON) -> None:
        super().__init__()
        self.wall = wall

    def now(self) -> float:
        return self.wall

    def advance(self, amount: float) -> None:
        """Let the device run for so long."""
        self.wall += amount
        super().advance(amount)


class Events:
    """What the gate reports."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.reports: list[Report] = []

    def held(self, report: Report) -> None:
        self.reports.append(report)
        self.calls.append(report.message)

    def permitted(self) -> None:
        self.calls.append("permitted")

    def taken(self) -> list[str]:
        taken, self.calls[:] = list(self.calls), []
        return taken


class Device:
    """A device with a gate, which may be started anew."""

    def __init__(self, directory: Path, rules: Rules | None = None) -> None:
        self.directory = directory
        self.clocks = Clocks()
        self.rules = rules or Rules()
        self.start()

    def start(self) -> None:
        """Begin a new life of the agent."""
        self.events = Events()
        self.gate = PolicyGate(
            self.clocks, self.rules, self.directory, self.clocks.now, self.clocks.seconds
        )
        self.gate.events = self.events

    def restart(self, off: float = 0.0, wall: float | None = None) -> None:
        """Cut the power for so long; afterwards the clock may show any time."""
        self.gate.leave()
        self.clocks.wall = self.clocks.wall + off if wall is None else wall
        self.start()

    def ledger(self) -> Ledger:
        """What the file says."""
        return Ledger(self.directory, self.clocks.now, self.clocks.seconds)

"""The bench of installs by hand: the machine's side and AWS's side as lists of calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import FakeJobs
from upparat.byhand.jobs import InstallJobs
from upparat.byhand.spool import InstallSpool
from upparat.job import ExecutionKey, JobExecution, JobExecutionSummary, Report, State, Status

KEY = ExecutionKey("local@1", 1, 100)
DOCUMENT = {
    "action": "upparat-update",
    "version": "2.0",
    "file": "file:///media/usb/app#0+8",
    "size": 8,
    "sha256": "0" * 64,
}
INSTALL = JobExecution(KEY, Status.QUEUED, 0, document=DOCUMENT)
AWS = ExecutionKey("job-1", 1, 50)


class Machine:
    """The events that the machine gets."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    def changed(self) -> None:
        self.calls.append("changed")

    def pending(
        self,
        in_progress: Sequence[JobExecutionSummary],
        queued: Sequence[JobExecutionSummary],
    ) -> None:
        names = [[each.key.job_id for each in listed] for listed in (in_progress, queued)]
        self.calls.append(("pending", *names))

    def described(self, execution: JobExecution) -> None:
        self.calls.append(("described", execution.job_id, execution.status.value))

    def describe_failed(self, job_id: str, ended: bool) -> None:
        self.calls.append(("describe_failed", job_id, ended))

    def delivered(self, state: State) -> None:
        self.calls.append(("delivered", state.value))

    def undeliverable(self, state: State) -> None:
        self.calls.append(("undeliverable", state.value))

    def cancelled(self) -> None:
        self.calls.append("cancelled")


class Ends:
    """The record."""

    def __init__(self) -> None:
        self.owed: dict[ExecutionKey, State] = {}

    def add(self, execution: JobExecution, report: Report) -> None:
        self.owed[execution.key] = report.state

    def remove(self, key: ExecutionKey) -> None:
        self.owed.pop(key, None)


class InstallBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.spool = InstallSpool(self.directory)
        self.ends = Ends()
        self.occupied: ExecutionKey | None = None
        self.jobs = self.start()

    def start(self, remembered: ExecutionKey | None = None) -> InstallJobs:
        """Start another agent."""
        self.calls: list[Any] = []
        self.aws: list[Any] = []
        self.occupied = remembered
        jobs = InstallJobs(FakeJobs(self.aws), self.spool, self.ends, lambda: self.occupied)
        jobs.events = Machine(self.calls)
        jobs.load(remembered)
        return jobs

    def heard(self) -> list[Any]:
        """What the machine has heard since the last time."""
        found = list(self.calls)
        self.calls.clear()
        return found

    def asked(self) -> list[Any]:
        """What AWS was asked since the last time."""
        found = list(self.aws)
        self.aws.clear()
        return found

"""A memory of undelivered reports that appends each call to a list."""

from __future__ import annotations

from typing import Any

from upparat.iotjobs.reports import UndeliveredReports
from upparat.job import ExecutionKey, JobExecution, Report


class FakeUndelivered:
    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.calls = calls

    def add(self, execution: JobExecution, report: Report) -> None:
        self.calls.append(("add", execution.job_id, report.state.value))

    def remove(self, key: ExecutionKey) -> None:
        self.calls.append(("remove", key.job_id))


def _is_a_memory(fake: FakeUndelivered) -> UndeliveredReports:
    return fake

"""Watches a job until its last execution has ended."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator

from .executions import (
    DELETED,
    FAILING,
    FailedExecution,
    JobProgress,
    ThingExecution,
    all_executions,
    counted,
    describe_execution,
    describe_job,
    failure_of,
    latest,
    progress_of,
)
from .refusals import explained
from .request import Aws, AwsRefused, AwsUnreachable, PublishFailed

INTERVAL = 2.0
"""Seconds between two looks."""

MOST_REASONS = 20
"""Executions whose reasons are fetched: each costs a request."""

UNREACHABLE = "no answer from AWS, trying again"

_BUSY = ("Throttling", "TooManyRequests", "ServiceUnavailable", "InternalFailure", "500", "503")

Show = Callable[[JobProgress, str], object]
"""Takes how far the job has got, and a remark, which is empty as a rule."""


class JobWatch:
    """Looks at a job again and again, and shows it."""

    def __init__(
        self, aws: Aws, job_id: str, show: Show, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._aws = aws
        self._job_id = job_id
        self._show = show
        self._sleep = sleep
        self._last = JobProgress(job_id, "")
        self._failures: dict[ThingExecution, FailedExecution] = {}

    def run(self) -> JobProgress:
        """Return how the job has ended.

        :raises PublishFailed: if AWS refuses to say how the job goes. The job goes on.
        """
        while not self._last.ended:
            try:
                self._last, remark = self._look(), ""
            except AwsUnreachable:
                remark = UNREACHABLE
            except AwsRefused as refused:
                if not refused.code.startswith(_BUSY):
                    raise self._given_up(refused) from None
                remark = UNREACHABLE
            self._show(self._last, remark)
            if not self._last.ended:
                self._sleep(INTERVAL)
        return self._last

    def _given_up(self, refused: AwsRefused) -> PublishFailed:
        problem = explained(refused, "--watch")
        return PublishFailed(f"{problem}; job {self._job_id} goes on", problem.status)

    def _look(self) -> JobProgress:
        try:
            progress = progress_of(self._job_id, self._aws.call(describe_job(self._job_id)))
            if progress.ended:
                return self._final(progress)
            self._learn(self._failing(progress))
        except AwsRefused as refused:
            if refused.missing:
                return dataclasses.replace(self._last, status=DELETED)
            raise
        return dataclasses.replace(progress, failures=tuple(self._failures.values()))

    def _final(self, progress: JobProgress) -> JobProgress:
        """Count the last execution of each thing: AWS counts those that it has retried as well."""
        last = latest(all_executions(self._aws, self._job_id)).values()
        failing = [execution for execution in last if execution.status in FAILING]
        self._failures = {each: self._failures[each] for each in failing if each in self._failures}
        self._learn(failing)
        failures = tuple(self._failures.values())
        return dataclasses.replace(progress, counts=counted(last), failures=failures)

    def _failing(self, progress: JobProgress) -> Iterator[ThingExecution]:
        for status in FAILING:
            if status in progress.counts:
                newest = all_executions(self._aws, self._job_id, status)
                yield from itertools.islice(newest, MOST_REASONS)

    def _learn(self, failing: Iterable[ThingExecution]) -> None:
        """Fetch the reasons of executions that are not known yet."""
        for execution in failing:
            if len(self._failures) >= MOST_REASONS:
                return
            if execution not in self._failures:
                self._failures[execution] = self._reason(execution)

    def _reason(self, execution: ThingExecution) -> FailedExecution:
        try:
            answer = self._aws.call(describe_execution(self._job_id, execution))
        except AwsRefused as refused:
            if refused.missing:  # the thing was deleted meanwhile
                return FailedExecution(execution)
            raise
        return failure_of(execution, answer)

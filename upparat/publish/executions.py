"""The executions of a job: the requests for them, and what the answers say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from upparat.job import NO_MESSAGE, Status
from upparat.text import printable

from .request import Aws, AwsRequest

FAILING = (Status.FAILED, Status.REJECTED, Status.TIMED_OUT)
"""The statuses that have a reason."""

PAGE = 250

_COUNTS = {
    Status.QUEUED: "numberOfQueuedThings",
    Status.IN_PROGRESS: "numberOfInProgressThings",
    Status.SUCCEEDED: "numberOfSucceededThings",
    Status.FAILED: "numberOfFailedThings",
    Status.REJECTED: "numberOfRejectedThings",
    Status.TIMED_OUT: "numberOfTimedOutThings",
    Status.CANCELED: "numberOfCanceledThings",
    Status.REMOVED: "numberOfRemovedThings",
}


@dataclass(frozen=True)
class ThingExecution:
    """One execution of a job on one thing."""

    thing: str
    number: int
    status: Status


@dataclass(frozen=True)
class FailedExecution:
    """Why an execution has failed, as the device has reported it."""

    execution: ThingExecution
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """One line: the state, the message, and the end of the hook's stderr."""
        message = self.details.get("message", "")
        parts = [self.details.get("state", ""), "" if message == NO_MESSAGE else message]
        text = ": ".join(part for part in parts if part)
        stderr = self.details.get("stderr", "")
        return printable(f"{text} | {stderr}" if stderr else text)


@dataclass(frozen=True)
class JobProgress:
    """How far a job has got.

    :ivar status: of the job, such as ``IN_PROGRESS``; ``DELETED`` if AWS does not know it any more.
    :ivar counts: executions by status, those that are not 0.
    :ivar failures: executions that have failed, up to a limit, the oldest first.
    """

    job_id: str
    status: str
    counts: Mapping[Status, int] = field(default_factory=dict)
    failures: tuple[FailedExecution, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more. A cancelled job may still have some in progress."""
        if self.status in ("COMPLETED", DELETED, "DELETION_IN_PROGRESS"):
            return True
        return self.status == "CANCELED" and all(status.ended for status in self.counts)

    @property
    def succeeded(self) -> bool:
        return set(self.counts) == {Status.SUCCEEDED}

    @property
    def failed(self) -> int:
        """How many have failed, been rejected or timed out."""
        return sum(self.counts.get(status, 0) for status in FAILING)


DELETED = "DELETED"


# --- requests ---


def describe_job(job_id: str) -> AwsRequest:
    return AwsRequest("iot", "describe_job", {"jobId": job_id})


def list_executions(job_id: str, status: Status | None, token: str = "") -> AwsRequest:
    parameters: dict[str, Any] = {"jobId": job_id, "maxResults": PAGE}
    more = {"status": status and status.value, "nextToken": token}
    chosen = {name: value for name, value in more.items() if value}
    return AwsRequest("iot", "list_job_executions_for_job", parameters | chosen)


def describe_execution(job_id: str, execution: ThingExecution) -> AwsRequest:
    parameters = {
        "jobId": job_id,
        "thingName": execution.thing,
        "executionNumber": execution.number,
    }
    return AwsRequest("iot", "describe_job_execution", parameters)


# --- answers ---


def progress_of(job_id: str, answer: Mapping[str, Any]) -> JobProgress:
    """Read the answer to ``describe_job``."""
    details = answer["job"].get("jobProcessDetails", {})
    counts = {status: int(details.get(name) or 0) for status, name in _COUNTS.items()}
    shown = {status: count for status, count in counts.items() if count}
    return JobProgress(job_id, answer["job"]["status"], shown)


def executions_of(answer: Mapping[str, Any]) -> Iterator[ThingExecution]:
    """Read the answer to ``list_job_executions_for_job``."""
    for each in answer.get("executionSummaries", ()):
        summary = each["jobExecutionSummary"]
        thing = each["thingArn"].rpartition("/")[2]
        yield ThingExecution(thing, summary["executionNumber"], Status(summary["status"]))


def failure_of(execution: ThingExecution, answer: Mapping[str, Any]) -> FailedExecution:
    """Read the answer to ``describe_job_execution``."""
    return FailedExecution(
        execution, answer["execution"].get("statusDetails", {}).get("detailsMap", {})
    )


def all_executions(aws: Aws, job_id: str, status: Status | None = None) -> Iterator[ThingExecution]:
    """List the executions, page after page, those that were updated last first.

    :raises AwsRefused: if AWS refuses a request.
    """
    token = ""
    while True:
        answer = aws.call(list_executions(job_id, status, token))
        yield from executions_of(answer)
        token = answer.get("nextToken") or ""
        if not token:
            return


def latest(executions: Iterable[ThingExecution]) -> dict[str, ThingExecution]:
    """Return the last execution of each thing: a retry counts, and not what it repeats."""
    found: dict[str, ThingExecution] = {}
    for execution in executions:
        known = found.get(execution.thing)
        if known is None or execution.number > known.number:
            found[execution.thing] = execution
    return found


def counted(executions: Iterable[ThingExecution]) -> dict[Status, int]:
    """Count executions by status, in the order of the table."""
    statuses = [execution.status for execution in executions]
    return {status: statuses.count(status) for status in _COUNTS if status in statuses}

"""The job executions of one thing, by AWS's rules: a store without a wire.

Sources: the AWS IoT developer guide (jobs, job executions, workflow of devices). Times are whole
seconds since the epoch, as AWS's are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from upparat.job import Status

MAX_DOCUMENT = 32_768
LISTED = 10
"""Executions in a list, at the most."""

NEXT = "$next"

_BY_DEVICE = (Status.IN_PROGRESS, Status.SUCCEEDED, Status.FAILED, Status.REJECTED)


class Conflict(Exception):
    """The control plane refuses a call."""


@dataclass(eq=False)
class Execution:
    """A job execution; two are never equal, though all their numbers may be."""

    job_id: str
    number: int
    document: object = field(repr=False)
    queued_at: int
    timeout: int | None = None
    status: Status = Status.QUEUED
    details: dict[str, str] | None = None
    version: int = 1
    started_at: int | None = None
    updated_at: int = 0
    step_until: int | None = None
    hidden: bool = False

    @property
    def state(self) -> str:
        """``statusDetails.state``, or an empty string."""
        return (self.details or {}).get("state", "")

    @property
    def message(self) -> str:
        return (self.details or {}).get("message", "")

    # --- on the wire, members in AWS's order ---

    def summary(self) -> dict[str, Any]:
        return _present(
            jobId=self.job_id,
            queuedAt=self.queued_at,
            lastUpdatedAt=self.updated_at,
            startedAt=self.started_at,
            executionNumber=self.number,
            versionNumber=self.version,
        )

    def brief(self) -> dict[str, Any]:
        """What an answer to an update calls ``executionState``."""
        return _present(
            status=self.status.value, statusDetails=self.details, versionNumber=self.version
        )

    def whole(self, now: int, *, document: bool) -> dict[str, Any]:
        """Over MQTT there is no ``thingName``."""
        members = _present(
            jobId=self.job_id,
            status=self.status.value,
            statusDetails=self.details,
            queuedAt=self.queued_at,
            startedAt=self.started_at,
            lastUpdatedAt=self.updated_at,
            versionNumber=self.version,
            executionNumber=self.number,
            approximateSecondsBeforeTimedOut=self.seconds_left(now),
        )
        return {**members, "jobDocument": self.delivery()} if document else members

    def delivery(self) -> Any:
        """The document as it is sent, placeholders replaced anew."""
        return deliver(self.document)

    def seconds_left(self, now: int) -> int | None:
        """Seconds until the first timer runs out; ``None`` if none runs."""
        ends = [self.step_until] if self.step_until is not None else []
        if self.timeout is not None and self.started_at is not None:
            ends.append(self.started_at + 60 * self.timeout)
        if self.status is not Status.IN_PROGRESS or not ends:
            return None
        return max(0, min(ends) - now)


def _present(**members: Any) -> dict[str, Any]:
    """AWS leaves out what is not set."""
    return {name: value for name, value in members.items() if value is not None}


def deliver(value: Any) -> Any:
    """A document as it is sent: callables, which stand for placeholders, are called, and members
    that are ``null`` are dropped."""
    if callable(value):
        return value()
    if isinstance(value, Mapping):
        return {name: deliver(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [deliver(entry) for entry in value]
    return value


class Rejected(Exception):
    """A device's request is refused; ``execution`` is told where AWS tells its state."""

    def __init__(self, code: str, message: str, execution: Execution | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.execution = execution


class Update(NamedTuple):
    """An update of a device that was accepted."""

    job_id: str
    number: int
    status: Status
    details: dict[str, str]
    version: int
    time: int


class Store:
    """The executions of a thing, as the back office and the device change them.

    :param now: seconds since the epoch.
    """

    def __init__(self, thing: str, now: Callable[[], float] = time.time) -> None:
        self.thing = thing
        self.updates: list[Update] = []
        self._now = now
        self._executions: list[Execution] = []

    def now(self) -> int:
        return int(self._now())

    # --- the back office ---

    def create_job(self, job_id: str, document: object, *, timeout: int | None = None) -> Execution:
        """Queue a job for the thing.

        :param timeout: minutes that an execution may be in progress.
        """
        size = len(json.dumps(document, default=lambda placeholder: "${placeholder}").encode())
        if size > MAX_DOCUMENT:
            raise Conflict(f"a document of {size} bytes")
        if self._newest(job_id):
            raise Conflict(f"job {job_id} exists")
        return self._queue(job_id, document, 1, timeout)

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Cancel a job. Without force, an execution in progress goes on."""
        execution = self.execution(job_id)
        if execution.status is Status.QUEUED or (force and not execution.status.ended):
            self._end(execution, Status.CANCELED)

    def delete(self, job_id: str, *, force: bool = False) -> None:
        """Delete a job with all its executions."""
        if not force and not self.execution(job_id).status.ended:
            raise Conflict(f"job {job_id} is in progress")
        self._executions = [each for each in self._executions if each.job_id != job_id]

    def time_out(self, job_id: str) -> None:
        """A timer of the execution has run out."""
        execution = self.execution(job_id)
        if execution.status is not Status.IN_PROGRESS:
            raise Conflict(f"no timer runs: {job_id} is {execution.status}")
        self._end(execution, Status.TIMED_OUT)

    def expire(self) -> None:
        """End what is in progress and has a timer that has run out."""
        for execution in self._executions:
            if execution.seconds_left(self.now()) == 0:
                self._end(execution, Status.TIMED_OUT)

    def retry(self, job_id: str) -> Execution:
        """Queue the next execution of a job whose last one has ended badly."""
        last = self.execution(job_id)
        if last.status not in (Status.FAILED, Status.TIMED_OUT):
            raise Conflict(f"{last.status} is not retried")
        return self._queue(job_id, last.document, last.number + 1, last.timeout)

    def remove(self, job_id: str) -> None:
        """The thing leaves the target group: what is in progress stays."""
        execution = self.execution(job_id)
        if execution.status is Status.QUEUED:
            execution.status = Status.REMOVED

    def hide(self, job_id: str, *, hidden: bool = True) -> None:
        """A maintenance window closes, or opens: the execution is not listed, but still there."""
        self.execution(job_id).hidden = hidden

    def execution(self, job_id: str) -> Execution:
        """The newest execution of a job."""
        execution = self._newest(job_id)
        if execution is None:
            raise Conflict(f"there is no job {job_id}")
        return execution

    @property
    def executions(self) -> list[Execution]:
        """All of them, ended ones too, in the order of their creation."""
        return list(self._executions)

    # --- the device ---

    def pending(self) -> list[Execution]:
        """What is not over, first things first: in progress before queued, each by its age."""
        left = [each for each in self._executions if not each.status.ended and not each.hidden]
        return sorted(left, key=lambda each: each.status is Status.QUEUED)

    def describe(self, job_id: str, number: int | None = None) -> Execution | None:
        """One execution, or ``None`` where ``$next`` is none.

        :raises Rejected: if there is no such execution, or it has ended.
        """
        if job_id == NEXT:
            return next(iter(self.pending()), None)
        execution = self._find(job_id, number)
        if execution.status.ended:
            message = (
                "Job Execution has reached terminal state. It is neither IN_PROGRESS nor QUEUED"
            )
            raise Rejected("TerminalStateReached", message)
        return execution

    def start_next(
        self, details: dict[str, str] | None = None, step: int | None = None
    ) -> Execution | None:
        """Start the first pending execution; one in progress is returned as it is."""
        execution = next(iter(self.pending()), None)
        if execution is not None and execution.status is Status.QUEUED:
            self._report(execution, Status.IN_PROGRESS, details, step)
        return execution

    def update(
        self,
        job_id: str,
        status: str,
        details: dict[str, str] | None = None,
        *,
        expected: int | None = None,
        number: int | None = None,
        step: int | None = None,
    ) -> Execution:
        """Take a report; details that are given replace all that were there.

        :param expected: the version that the device believes in.
        :param step: minutes of the step timer, -1 to stop it.
        :raises Rejected: if AWS would refuse it; checked in its order.
        """
        if status not in _BY_DEVICE:
            message = f"The status of job execution cannot be changed to be {status}"
            raise Rejected("InvalidStateTransition", message)
        execution = self._find(job_id, number)
        if expected is not None and expected != execution.version:
            message = f"Expected version {expected} but found version {execution.version}"
            raise Rejected("VersionMismatch", message, execution)
        if execution.status.ended:
            message = (
                f"Job {job_id} for {self.thing} has already finished with status {execution.status}"
            )
            raise Rejected("InvalidStateTransition", message, execution)
        self._report(execution, Status(status), details, step)
        return execution

    # --- one execution ---

    def _newest(self, job_id: str) -> Execution | None:
        found = [each for each in self._executions if each.job_id == job_id]
        return found[-1] if found else None

    def _find(self, job_id: str, number: int | None) -> Execution:
        execution = self._newest(job_id)
        if execution is None or number not in (None, execution.number):
            raise Rejected("ResourceNotFound", f"Job {job_id} not found for {self.thing}")
        return execution

    def _queue(self, job_id: str, document: object, number: int, timeout: int | None) -> Execution:
        now = self.now()
        execution = Execution(
            job_id, number, document, queued_at=now, timeout=timeout, updated_at=now
        )
        self._executions.append(execution)
        return execution

    def _end(self, execution: Execution, status: Status) -> None:
        execution.status = status
        execution.version += 1
        execution.updated_at = self.now()

    def _report(
        self, execution: Execution, status: Status, details: dict[str, str] | None, step: int | None
    ) -> None:
        now = self.now()
        if execution.started_at is None and status is not Status.REJECTED:
            execution.started_at = now
        execution.status = status
        execution.version += 1
        execution.updated_at = now
        if details is not None:
            execution.details = dict(details)
        if step is not None:
            execution.step_until = None if step == -1 else now + 60 * step
        told = dict(execution.details or {})
        self.updates.append(
            Update(execution.job_id, execution.number, status, told, execution.version, now)
        )

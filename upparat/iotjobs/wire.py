"""Topics and payloads of AWS IoT Jobs; payloads are parsed with tolerance.

Sources: the AWS IoT developer guide (jobs-mqtt-api) and botocore's ``iot-jobs-data`` model. Every
member but ``jobId`` may be missing, because the guide's own samples leave some out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from upparat.job import ExecutionKey, JobExecution, JobExecutionSummary, Status

_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_COLLIDING = frozenset({"get", "start-next", "notify", "notify-next"})

# Larger times are milliseconds: as such they begin in March 1973, as seconds in the year 5138.
_MILLISECONDS_FROM = 100_000_000_000


class Malformed(ValueError):
    """The payload is not one that AWS sends."""


@dataclass(frozen=True)
class Topics:
    """The topics of one thing, 1 to 128 characters of ``[a-zA-Z0-9:_-]``."""

    thing_name: str

    @property
    def base(self) -> str:
        return f"$aws/things/{self.thing_name}/jobs/"

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters for all responses, and for the notifications that the list has changed.

        ``notify-next`` is not among them, because it names only the head of the queue, which may be
        a job for another agent.
        """
        parts = ("notify", "get/+", "+/get/+", "+/update/+")
        return tuple(self.base + part for part in parts)

    @property
    def notify(self) -> str:
        return self.base + "notify"

    @property
    def get(self) -> str:
        return self.base + "get"

    def describe(self, job_id: str) -> str:
        return f"{self.base}{job_id}/get"

    def update(self, job_id: str) -> str:
        return f"{self.base}{job_id}/update"


MAX_LISTED = 50
"""Entries of a list that are used; AWS lists fewer."""


def addressable(job_id: str) -> bool:
    """Whether a job with this id can be used over MQTT; some ids collide with topics."""
    return bool(_JOB_ID.fullmatch(job_id)) and job_id not in _COLLIDING


def decode(payload: bytes) -> dict[str, object]:
    """Parse a payload, which must be a JSON object.

    :raises Malformed: if it is not.
    """
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    return _object(value, "payload")


def encode(payload: Mapping[str, object]) -> bytes:
    """Write a payload as JSON."""
    return json.dumps(payload, separators=(",", ":")).encode()


def summaries(value: object, status: Status) -> list[JobExecutionSummary]:
    """Parse a list of pending executions, oldest first, without the entries that are not valid."""
    entries = value if isinstance(value, list) else []
    keys = [key for key in _keys(entries) if addressable(key.job_id)]
    found = [JobExecutionSummary(key, status) for key in keys[:MAX_LISTED]]
    return sorted(found, key=lambda summary: summary.key.queued_at)


def listed_keys(payload: Mapping[str, object]) -> set[ExecutionKey]:
    """Parse the executions that a ``notify`` message names."""
    jobs = payload.get("jobs")
    lists = jobs.values() if isinstance(jobs, dict) else ()
    return {key for entries in lists if isinstance(entries, list) for key in _keys(entries)}


def execution(payload: Mapping[str, object], job_id: str) -> JobExecution:
    """Parse the execution in the response to a describe of this job.

    :raises Malformed: if it is missing, has no status, or is of another job.
    """
    value = _object(payload.get("execution"), "execution")
    if value.get("jobId") != job_id:
        raise Malformed("execution.jobId is another one")
    if value.get("status") not in list(Status):
        raise Malformed("execution.status is no status")
    return JobExecution(
        key=_key(value),
        status=Status(str(value["status"])),
        version_number=_number(value.get("versionNumber")),
        details=details(value.get("statusDetails")),
        document=value.get("jobDocument"),
    )


@dataclass(frozen=True)
class ExecutionState:
    """``executionState`` in the response to an update."""

    status: Status
    version_number: int
    details: Mapping[str, str]


def execution_state(payload: Mapping[str, object]) -> ExecutionState | None:
    """Parse the ``executionState`` of a response; ``None`` if it is missing or not valid."""
    value = payload.get("executionState")
    if not isinstance(value, dict) or value.get("status") not in list(Status):
        return None
    return ExecutionState(
        status=Status(value["status"]),
        version_number=_number(value.get("versionNumber")),
        details=details(value.get("statusDetails")),
    )


def details(value: object) -> dict[str, str]:
    """Parse status details, which AWS omits until they are first set."""
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}


def _keys(entries: Iterable[object]) -> Iterable[ExecutionKey]:
    for entry in entries:
        try:
            yield _key(_object(entry, "entry"))
        except Malformed:
            continue


def _key(value: Mapping[str, object]) -> ExecutionKey:
    job_id = value.get("jobId")
    if not isinstance(job_id, str) or not job_id:
        raise Malformed("no jobId")
    queued_at = _number(value.get("queuedAt"))
    if queued_at >= _MILLISECONDS_FROM:
        queued_at //= 1000
    return ExecutionKey(job_id, _number(value.get("executionNumber")), queued_at)


def _number(value: object) -> int:
    """Parse a signed 64-bit integer, which old samples of AWS write as a string; 0 if not valid."""
    if isinstance(value, (int, float, str)):
        try:
            number = int(value)
        except (ValueError, OverflowError):
            return 0
        return number if abs(number) < 2**63 else 0
    return 0


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no object")
    return value

"""Shows a job that is watched: a table that is drawn anew, lines, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TextIO

from upparat.control.render import Row
from upparat.control.screen import StatusScreen
from upparat.job import Status

from .executions import FAILING, FailedExecution, JobProgress

_TONES = {Status.SUCCEEDED: "good", Status.IN_PROGRESS: "busy"} | dict.fromkeys(FAILING, "bad")


def rows(progress: JobProgress, remark: str = "") -> list[Row]:
    """Return the table: a row for each status with its count, and one for each reason."""
    return [
        Row("Job", f"{progress.job_id}: {progress.status or '?'}"),
        *(
            Row(f"{count:>9}", status.value, _TONES.get(status, ""))
            for status, count in progress.counts.items()
        ),
        *(Row("", failure_line(failure), "bad") for failure in progress.failures),
        *(_unnamed(progress)),
        *([Row("", remark, "busy")] if remark else []),
    ]


def _unnamed(progress: JobProgress) -> list[Row]:
    more = progress.failed - len(progress.failures)
    return [Row("", f"and {more} more", "bad")] if more > 0 and progress.failures else []


def failure_line(failure: FailedExecution) -> str:
    """Say which thing has failed, and why, on one line."""
    execution = failure.execution
    run = f" (execution {execution.number})" if execution.number > 1 else ""
    return f"{execution.thing}{run} {execution.status}: {failure.reason or 'no reason reported'}"


def summary(progress: JobProgress) -> str:
    """Say how far the job has got on one line."""
    counts = ", ".join(f"{count} {status}" for status, count in progress.counts.items())
    return f"{progress.job_id}: {progress.status or '?'}, {counts or 'no executions'}"


def as_json(progress: JobProgress, remark: str = "") -> dict[str, Any]:
    """Return the table as JSON has it."""
    return {
        "job_id": progress.job_id,
        "status": progress.status,
        "ended": progress.ended,
        "executions": {status.value: count for status, count in progress.counts.items()},
        "failures": [
            {
                "thing": failure.execution.thing,
                "execution": failure.execution.number,
                "status": failure.execution.status.value,
                "details": dict(failure.details),
            }
            for failure in progress.failures
        ],
        **({"remark": remark} if remark else {}),
    }


def shower(stream: TextIO, *, as_objects: bool) -> Callable[[JobProgress, str], None]:
    """Return what shows a job on a stream.

    :param as_objects: print each change as an object of JSON on a line.
    """
    if as_objects:
        return _JobObjects(stream).show
    screen = StatusScreen(stream)
    if screen.live:
        return lambda progress, remark: screen.draw(rows(progress, remark))
    return _JobLines(stream).show


class _JobObjects:
    """Prints each change once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def show(self, progress: JobProgress, remark: str) -> None:
        text = json.dumps(as_json(progress, remark))
        if text != self._last:
            self._last = text
            print(text, file=self._stream, flush=True)


class _JobLines:
    """Prints a line for each change, and one for each failure."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""
        self._told: set[FailedExecutionKey] = set()

    def show(self, progress: JobProgress, remark: str) -> None:
        text = remark or summary(progress)
        if text != self._last:
            self._last = text
            print(text, file=self._stream, flush=True)
        for failure in progress.failures:
            key = (failure.execution.thing, failure.execution.number)
            if key not in self._told:
                self._told.add(key)
                print(f"  {failure_line(failure)}", file=self._stream, flush=True)


FailedExecutionKey = tuple[str, int]

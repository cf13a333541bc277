"""The status as text: a table for people, and one line for a log."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upparat.text import printable

BAR = 20
"""Characters of the progress bar."""

Status = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :ivar tone: ``good``, ``bad``, ``busy`` or nothing: what a colour may say as well.
    """

    label: str
    text: str
    tone: str = ""


def rows(status: Status, age: float = 0.0) -> list[Row]:
    """Return the table of a status.

    :param age: seconds since the agent made the status: times go on meanwhile.
    """
    return [
        Row("Agent", f"{status['agent']['version']} for {_text(status['thing'])}"),
        _connection(status["connection"], age),
        Row("State", status["state"], "busy" if status["job"] else ""),
        *([_job(status["job"])] if status["job"] else []),
        *(
            [Row("Download", progress(status["download"], age), "busy")]
            if status["download"]
            else []
        ),
        *([_hook(status["hook"], age)] if status["hook"] else []),
        *_waits(status["waiting"], age),
        _disk(status["disk"]),
        *_history(status["history"]),
    ]


def line(status: Status) -> str:
    """Return what happens now as one line, without times that change by themselves."""
    connection = status["connection"]
    parts = [status["state"]]
    if not connection["connected"]:
        parts.append("not connected")
    if status["job"]:
        parts.append(f"{status['job']['id']}, version {_text(status['job']['version'])}")
    if status["download"]:
        parts.append(progress(status["download"], bar=False, left=False))
    if status["hook"]:
        parts.append(f"{status['hook']['name']} hook, run {status['hook']['run']}")
    parts += [f"waits: {_text(wait['why'])}" for wait in status["waiting"]]
    if not status["job"] and status["history"]:
        parts.append(f"last job {_past(status['history'][0])}")
    return "; ".join(parts)


# --- the rows -------------------------------------------------------------------------------------


def _connection(found: Status, age: float) -> Row:
    broker = f"{_text(found['host'])}:{found['port']}"
    if found["connected"]:
        return Row("Broker", f"{broker}, for {span(found['seconds'] + age)}", "good")
    problem = f": {_text(found['problem'])}" if found["problem"] else ""
    return Row("Broker", f"{broker}, not connected{problem}", "bad")


def _job(job: Status) -> Row:
    forced = ", forced" if job["force"] else ""
    sized = f", {size(job['size'])}" if job["size"] is not None else ""
    version = _text(job["version"])
    return Row(
        "Job", f"{job['id']}, execution {job['execution']}, version {version}{sized}{forced}"
    )


def progress(found: Status, age: float = 0.0, *, bar: bool = True, left: bool = True) -> str:
    """Return how far a download is.

    :param bar: whether to draw it.
    :param left: whether to say how long it will take.
    """
    received, total, rate = found["bytes"], found["total"], found["rate"]
    if total is None:
        text = size(received)
    else:
        share = received / total if total else 1.0
        drawn = f"[{'#' * int(BAR * share):-<{BAR}}] " if bar else ""
        text = f"{drawn}{int(100 * share)} % of {size(total)}"
    if rate is not None:
        text += f", {size(rate)}/s"
    if left and found["remaining_seconds"] is not None:
        text += f", {span(max(0.0, found['remaining_seconds'] - age))} left"
    return text


def _hook(hook: Status, age: float) -> Row:
    if not hook["running"]:
        return Row("Hook", f"{hook['name']}, before run {hook['run']}", "busy")
    since, most = span(hook["seconds"] + age), span(hook["timeout"])
    return Row("Hook", f"{hook['name']}, run {hook['run']}, for {since} of {most}", "busy")


def _waits(waits: list[Status], age: float) -> Iterator[Row]:
    for wait in waits:
        text = _text(wait["why"])
        if wait["seconds"] is not None:
            text += f"; next in {span(max(0.0, wait['seconds'] - age))}, at {clock(wait['until'])}"
        if wait["limit"] is not None:
            text += f"; given up at {clock(wait['limit'])}"
        yield Row("Waits", text, "busy")


def _disk(disk: Status) -> Row:
    free = "unknown" if disk["free"] is None else size(disk["free"])
    return Row("Disk", f"{free} free, {size(disk['used'])} used in {_text(disk['directory'])}")


def _history(jobs: list[Status]) -> Iterator[Row]:
    label = "Last jobs"
    for job in jobs:
        tone = {"SUCCEEDED": "good", None: ""}.get(job["status"], "bad")
        yield Row(label, f"{clock(job['time'])}  {_past(job)}", tone)
        label = ""


def past_job(job: Status) -> str:
    """Return a job that is over as one line, with what it replaced and how long it took."""
    replaced = f" from {_text(job['replaced'])}" if job.get("replaced") else ""
    took = f", {span(job['seconds'])}" if job.get("seconds") is not None else ""
    return f"{clock(job['time'])}  {_past(job)}{replaced}{took}"


def _past(job: Status) -> str:
    status = f"{job['status']} " if job["status"] else ""
    version = f" {_text(job['version'])}" if job["version"] else ""
    message = f": {_text(job['message'])}" if job["message"] != "none" else ""
    return f"{job['id']}{version} {status}{job['state']}{message}"


# --- values ---------------------------------------------------------------------------------------


def span(seconds: float) -> str:
    """Return seconds as people read them, in at most two units."""
    whole = math.floor(seconds)
    for unit, name, below, lower in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name} {rest} {lower}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clock(time: str) -> str:
    """Return a time of the protocol as people read it; it is UTC."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def _text(value: object) -> str:
    return printable(str(value))

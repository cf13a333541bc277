"""The page: the status as HTML. Twisted's templates escape every value."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from twisted.python.failure import Failure
from twisted.web.template import Flattenable, Tag, flattenString, tags

from upparat.control.render import Row, Status, clock, progress, rows

IN_HEADING = ("Agent", "State")
"""The rows that are in the heading of the page."""

POLICY = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def document(status: Status) -> bytes:
    """Return the whole page."""
    parts = (
        b'<!DOCTYPE html>\n<html lang="en"><head>',
        _flat(_head(status)),
        b"<style>",
        asset("page.css"),
        b"</style></head><body>",
        _flat([_main(status, 0.0), _footer()]),
        b"<script>",
        asset("page.js"),
        b"</script></body></html>\n",
    )
    return b"".join(parts)


def content(status: Status, age: float) -> bytes:
    """Return the part of the page that changes.

    :param age: seconds since the agent made the status.
    """
    return _flat(_main(status, age))


@cache
def policy() -> str:
    """Return the Content-Security-Policy: nothing but the style and the script of the page."""
    return POLICY.format(style=_digest("page.css"), script=_digest("page.js"))


@cache
def asset(name: str) -> bytes:
    """Return a file of the page."""
    return files("upparat.web").joinpath(name).read_bytes()


def _digest(name: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(asset(name)).digest()).decode()}"


# --- parts ----------------------------------------------------------------------------------------


def _head(status: Status) -> Flattenable:
    return [
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.meta(name="color-scheme", content="light dark"),
        tags.title(_title(status)),
    ]


def _main(status: Status, age: float) -> Tag:
    found = rows({**status, "history": []}, age)
    main = Tag("main", attributes={"data-title": _title(status)})
    return main(
        tags.header(
            tags.h1(status["thing"]),
            tags.p(status["state"], class_=f"state {_tone(status)}"),
            tags.p(f"Upparat {status['agent']['version']}", class_="quiet"),
        ),
        tags.dl([_row(row, status, age) for row in found if row.label not in IN_HEADING]),
        _history(status["history"]),
    )


def _title(status: Status) -> str:
    return f"{status['thing']}: {status['state']}"


def _tone(status: Status) -> str:
    if not status["connection"]["connected"]:
        return "bad"
    return "busy" if status["job"] else "good"


def _row(row: Row, status: Status, age: float) -> Tag:
    text: Flattenable = row.text
    if row.label == "Download":
        text = _download(status["download"], age)
    return tags.div(tags.dt(row.label), tags.dd(text, class_=row.tone))


def _download(found: Status, age: float) -> Flattenable:
    text = tags.span(progress(found, age, bar=False))
    if found["total"] is None:
        return text
    bar = tags.progress(value=str(found["bytes"]), max=str(max(found["total"], 1)))
    return [bar(aria_label="Download"), text]


def _history(jobs: Sequence[Status]) -> Tag:
    if not jobs:
        return tags.section(tags.h2("Last jobs"), tags.p("None yet.", class_="quiet"))
    return tags.section(tags.h2("Last jobs"), tags.ol([_past(job) for job in jobs]))


def _past(job: Status) -> Tag:
    tone = {"SUCCEEDED": "good", None: ""}.get(job["status"], "bad")
    message = job["message"] if job["message"] != "none" else ""
    return tags.li(
        tags.p(
            tags.strong(job["id"]), " ", job["version"], " ", tags.span(job["state"], class_=tone)
        ),
        tags.p(message) if message else "",
        tags.p(tags.time(clock(job["time"]), datetime=job["time"]), class_="quiet"),
    )


def _footer() -> Tag:
    return tags.footer(
        tags.p("Connecting …", id="live", hidden=""),
        tags.noscript(tags.p("This is a snapshot: reload the page for the next one.")),
        tags.p(tags.a("Metrics", href="metrics"), " ", tags.a("Status as JSON", href="status")),
    )


def _flat(root: Flattenable) -> bytes:
    """Write HTML. No part of it is a Deferred, so it is there at once."""
    html: list[bytes] = []
    problems: list[Failure] = []
    flattenString(None, root).addCallbacks(html.append, problems.append)
    for problem in problems:
        problem.raiseException()
    return html[0]

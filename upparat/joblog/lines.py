"""The lines of a job's log: which events become one, and how it is written. Pure functions."""

from __future__ import annotations

from twisted.logger import LogEvent, LogLevel, formatTime

from upparat.log import format_event, redact
from upparat.text import printable

NAMESPACE = "upparat"


def is_wanted(event: LogEvent) -> bool:
    """Whether an event can belong to a job's log: one of the agent's, at the level INFO or above,
    or a line of a hook (it has the field ``stream``).

    The field ``repeats`` marks lines of a hook that have come before.
    """
    namespace = str(event.get("log_namespace", ""))
    if namespace.partition(".")[0] != NAMESPACE or event.get("repeats"):
        return False
    return "stream" in event or (event.get("log_level") or LogLevel.info) >= LogLevel.info


def format_line(event: LogEvent) -> str:
    """Format an event as in the agent's log, without secrets; a line of a hook with the name of its
    stream. The lines of a traceback follow. The result is empty if the event says nothing."""
    if "stream" not in event:
        return format_event(event) or ""
    time, line = formatTime(event.get("log_time")), printable(redact(str(event.get("line"))))
    return f"{time} [{event.get('hook')}#{event['stream']}] {line}\n"

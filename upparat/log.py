"""The log of Twisted and of the standard library: one line per event, without secrets."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    PredicateResult,
    eventAsText,
    formatTime,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from .text import printable

_LEVELS = {
    "DEBUG": LogLevel.debug,
    "INFO": LogLevel.info,
    "WARNING": LogLevel.warn,
    "ERROR": LogLevel.error,
    "EXCEPTION": LogLevel.error,
}
_STANDARD_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)
_SECRETS = (
    # Remove all up to the next white space: too much is better than too little.
    (re.compile(r"(https?://[^\s?#]*)[?#]\S*", re.IGNORECASE), r"\1?…"),
    (re.compile(r"(https?://)[^\s/?#]*@", re.IGNORECASE), r"\1…@"),
    (re.compile(r"(X-Amz-[A-Z-]+=)[^\s&]*", re.IGNORECASE), r"\1…"),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL), r"\1…\2"),
)


def make_observer(level: str, file: TextIO) -> ILogObserver:
    """Make an observer that writes the events of a level and above to ``file``.

    From now on the records of the standard library's ``logging`` are events too.

    :param level: one of ``config.LOG_LEVELS``. ``EXCEPTION`` means critical events, and errors
        only if they come with a traceback.
    """
    bridge_standard_logging()
    logging.getLogger().setLevel(logging.DEBUG if level == "DEBUG" else logging.INFO)
    observer: ILogObserver = FilteringLogObserver(
        FileLogObserver(file, format_event), [_AtLeast(level)]
    )
    return observer


def redact(text: str) -> str:
    """Remove the secrets that a pattern finds: queries and user info of URLs, signature parameters
    of AWS, private keys."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def format_event(event: LogEvent) -> str | None:
    """Format an event as one line of the log. The lines of a traceback follow it, indented.

    Line ends and control characters become spaces, so no text can forge a line.
    """
    text, traceback = event_text(event), event_traceback(event)
    if not text and not traceback:
        return None
    time = formatTime(event.get("log_time"))
    level = event.get("log_level") or LogLevel.info
    lines = [f"{time} [{event.get('log_namespace', '-')}#{level.name}] {text}"]
    for line in traceback.splitlines():
        lines.append("\t" + " " * (len(line) - len(line.lstrip())) + printable(line))
    return "\n".join(lines) + "\n"


def event_text(event: LogEvent) -> str:
    """Format the message of an event as one line, without secrets and without its failure."""
    if _is_old(event):
        text = str(event.get("why") or "Unhandled error")
    else:
        text = eventAsText(
            event, includeTraceback=False, includeTimestamp=False, includeSystem=False
        )
    return printable(redact(text))


def event_failure(event: LogEvent) -> Failure | None:
    """Return the failure that an event reports, if any."""
    failure = event.get("failure") if _is_old(event) else event.get("log_failure")
    return failure if isinstance(failure, Failure) else None


def event_traceback(event: LogEvent) -> str:
    """Format the traceback of an event's failure without secrets. Returns ``""`` if it has none."""
    failure = event_failure(event)
    return redact(failure.getTraceback()) if failure is not None else ""


def _is_old(event: LogEvent) -> bool:
    """True if the event is from ``twisted.python.log.err``: its text holds the whole traceback."""
    return "log_failure" not in event and isinstance(event.get("failure"), Failure)


@implementer(ILogFilterPredicate)
class _AtLeast:
    """Passes the events of a configured level and above."""

    def __init__(self, level: str) -> None:
        self._least = _LEVELS[level]
        self._only_tracebacks = level == "EXCEPTION"

    def __call__(self, event: LogEvent) -> Any:
        level = event.get("log_level") or LogLevel.info
        if level < self._least:
            return PredicateResult.no
        bare = level is LogLevel.error and event_failure(event) is None
        return PredicateResult.no if self._only_tracebacks and bare else PredicateResult.maybe


# --- the standard library's logging ---


class _Bridge(logging.Handler):
    """Emits the records of ``logging`` as events of Twisted's log."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        # An observer may itself use the standard library's logging. Twisted's own one does, under
        # the name "twisted". Without this check its records would come twice, or never end.
        if record.name == "twisted" or getattr(self._here, "busy", False):
            return
        self._here.busy = True
        try:
            _hand_on(record)
        except Exception:
            self.handleError(record)
        finally:
            self._here.busy = False


def bridge_standard_logging() -> Callable[[], None]:
    """Make every record of ``logging`` an event too. A second call adds nothing.

    :returns: a function that ends it.
    """
    root = logging.getLogger()
    bridge = next((handler for handler in root.handlers if isinstance(handler, _Bridge)), None)
    if bridge is None:
        bridge = _Bridge()
        root.addHandler(bridge)
    found = bridge
    return lambda: root.removeHandler(found)


def _hand_on(record: logging.LogRecord) -> None:
    level = next((new for old, new in _STANDARD_LEVELS if record.levelno >= old), LogLevel.debug)
    details: dict[str, Any] = {"text": record.getMessage()}
    if record.exc_info and record.exc_info[1] is not None:
        kind, error, traceback = record.exc_info
        details["log_failure"] = Failure(error, kind, traceback)
    Logger(namespace=record.name).emit(level, "{text}", **details)

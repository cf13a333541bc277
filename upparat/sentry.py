"""Sends errors to Sentry, without secrets.

``sentry_sdk`` is imported only if a DSN is set, because it takes 5 MiB of memory and 50 ms of the
start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from .log import bridge_standard_logging, event_failure, event_text, redact

if TYPE_CHECKING:
    from sentry_sdk.client import BaseClient

FLUSH = 2.0
"""The longest time that a stop waits for the last events to be sent, in seconds."""

REMOVED = "[removed]"

_SECRET_KEYS = {
    *("meta", "file", "upparat_meta", "upparat_file"),
    *("password", "keyfile", "dsn", "sentry_dsn"),
    *("authorization", "query_string", "cookies"),
}
_STRUCTURE = {"event_id", "timestamp", "level", "platform", "type", "release", "sdk"}
_LEVELS = {
    LogLevel.debug: "debug",
    LogLevel.info: "info",
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "fatal",
}
# Loggers of the sending itself: their records must not become events.
_OWN_NOISE = ("sentry_sdk", "urllib3")


def start(dsn: str, release: str, *, secrets: Sequence[str] = ()) -> Callable[[], None]:
    """Send the errors of Twisted's and the standard library's log to Sentry from now on.

    :param secrets: words that no event may hold; empty ones are ignored.
    :returns: a function that stops it; it may block for up to :data:`FLUSH` seconds.
    :raises ValueError: if the DSN is malformed.
    """
    import sentry_sdk

    scrubber = Scrubber(secrets)
    sentry_sdk.init(
        dsn=dsn,
        release=release,
        # Integrations hook into threads, arguments, requests and the exit. None is needed.
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        auto_session_tracking=False,
        max_breadcrumbs=50,
        before_send=lambda event, hint: scrubber.scrub(event),
        before_breadcrumb=lambda crumb, hint: scrubber.scrub(crumb),
    )
    client = sentry_sdk.get_client()
    observer = _Observer(client)
    globalLogPublisher.addObserver(observer)
    bridge_standard_logging()

    def stop() -> None:
        globalLogPublisher.removeObserver(observer)
        client.close(timeout=FLUSH)

    return stop


@implementer(ILogObserver)
class _Observer:
    """Sends errors, and keeps earlier events as breadcrumbs."""

    def __init__(self, client: BaseClient) -> None:
        self._client = client

    def __call__(self, event: LogEvent) -> None:
        namespace = str(event.get("log_namespace", ""))
        level = event.get("log_level") or LogLevel.info
        failure = event_failure(event)
        if namespace.split(".")[0] in _OWN_NOISE:
            return
        if failure is not None or level >= LogLevel.error:
            self._send(event, namespace, _LEVELS[level], failure)
        elif level >= LogLevel.info:
            self._remember(event, namespace, _LEVELS[level])

    def _send(self, event: LogEvent, namespace: str, level: str, failure: Failure | None) -> None:
        from sentry_sdk import capture_event
        from sentry_sdk.utils import event_from_exception

        message: Any = {"level": level, "logger": namespace}
        hint: Any = {}
        if failure is not None:
            known = (failure.type, failure.value, failure.getTracebackObject())
            options, mechanism = self._client.options, {"type": "log", "handled": True}
            found, hint = event_from_exception(known, options, mechanism)  # type: ignore[arg-type]
            message.update(found, level=level)
        message["logentry"] = {"message": event_text(event)}
        capture_event(message, hint)

    def _remember(self, event: LogEvent, namespace: str, level: str) -> None:
        from sentry_sdk import add_breadcrumb

        add_breadcrumb(message=event_text(event), category=namespace, level=level)


class Scrubber:
    """Removes secrets from a JSON value: by key, by pattern, and the given words."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        # Replace longer secrets first, because a secret may contain a shorter one.
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def scrub(self, value: Any) -> Any:
        """Copy ``value`` without secrets."""
        if isinstance(value, dict):
            return {key: self._member(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.scrub(inner) for inner in value]
        return self._text(value) if isinstance(value, str) else value

    def _member(self, key: str, value: Any) -> Any:
        if key.lower() in _SECRET_KEYS:
            return REMOVED
        return value if key in _STRUCTURE else self.scrub(value)

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
        return redact(text)

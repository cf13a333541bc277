"""The contract between a download and an install hook that gets the file while it runs.

With a stream, a run of the install hook consumes the file, and the downloads produce it. With a
URL, the downloads lend it to the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from .job import Job


class StreamConsumer(Protocol):
    """One run of the install hook, which reads the file from its stdin."""

    def write(self, data: bytes) -> Deferred[None]:
        """Pass the next bytes on; fire when there is room for more."""

    def finish_stdin(self) -> None:
        """End stdin after what was written: the file is verified."""

    def fail(self) -> Deferred[None]:
        """Kill the hook without reporting its end, because the file cannot be had.

        Fires when no process of the hook runs any more.
        """

    def run_again(self, reason: str) -> None:
        """Kill the hook and run it again later, because the file must come from byte 0 again."""


class StreamProducer(Protocol):
    """Brings files. After :meth:`cancel_stream` it calls nothing of that consumer any more."""

    def stream(self, job: Job, consumer: StreamConsumer) -> None:
        """Bring the job's file, from byte 0."""

    def cancel_stream(self, consumer: StreamConsumer) -> None:
        """Stop, because this consumer has ended."""


class UrlLender(Protocol):
    """Lends a URL of the agent to one run of the install hook at a time."""

    def lend(self, job: Job) -> str:
        """Serve the job's file at the URL that is returned.

        :raises OSError: if no port is to be had.
        """

    def take_back(self) -> Callable[[], None] | None:
        """Serve nothing any more; it is no error if nothing is lent.

        If the file could not be had, the call that is returned reports that: make it when the hook
        has failed, and is no longer heard.
        """

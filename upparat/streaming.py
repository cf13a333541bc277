"""The contract between a download and an install hook that reads the file from its stdin.

A run of the install hook consumes the file, the downloads produce it.
"""

from __future__ import annotations

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

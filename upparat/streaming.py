"""The interfaces between a download and an install hook that reads the file from its stdin.

The run of the hook is the consumer, the download is the producer. A producer makes no more calls
once its stream was cancelled or its consumer has ended.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from .job import Job


class StreamConsumer(Protocol):
    """One run of the install hook, which reads the file from its stdin."""

    def write(self, data: bytes) -> Deferred[None]:
        """Write the next bytes to stdin. Fires when there is room for more."""

    def finish_stdin(self) -> None:
        """Close stdin after the written bytes, because the file is verified."""

    def fail(self) -> Deferred[None]:
        """End the hook without reporting its result, because the download has failed.

        Fires when no process of the hook runs any more.
        """

    def start_over(self, reason: str) -> None:
        """End the hook and run it again later, because the download must restart from byte 0."""


class StreamProducer(Protocol):
    """Downloads files into consumers."""

    def stream(self, job: Job, outlet: StreamConsumer) -> None:
        """Download the job's file from byte 0, and write it to the outlet."""

    def cancel_stream(self, outlet: StreamConsumer) -> None:
        """Stop the download into this outlet, because the outlet has ended."""

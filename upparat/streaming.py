"""Where a download and an install hook meet, when the file goes from one into the other.

The hook's run is the outlet, the downloads are the source. A source that was told to stop, or whose
outlet has ended, is silent.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from .job import Job


class StreamConsumer(Protocol):
    """One run of the hook, which reads the file from its stdin."""

    def write(self, data: bytes) -> Deferred[None]:
        """The next bytes; fires when there is room for more."""

    def finish_stdin(self) -> None:
        """The file is verified: stdin ends after what was written."""

    def fail(self) -> Deferred[None]:
        """The file will never come: end the hook, and say nothing of it.

        Fires when nothing of it runs any more.
        """

    def start_over(self, reason: str) -> None:
        """The file has to come from its beginning again: end the hook, and run it again later."""


class StreamProducer(Protocol):
    """Brings files."""

    def stream(self, job: Job, outlet: StreamConsumer) -> None:
        """Bring the job's file, from its beginning."""

    def cancel_stream(self, outlet: StreamConsumer) -> None:
        """This outlet has ended."""

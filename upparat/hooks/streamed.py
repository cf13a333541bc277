"""The install hook for one job, where it reads the file from its stdin."""

from __future__ import annotations

from signal import SIGKILL
from typing import Any

from twisted.internet.defer import Deferred, succeed

from upparat.streaming import StreamProducer

from .child import Child, Ended
from .run import HookRun
from .streamed_child import StreamedChild

UNVERIFIED = "ended before the file was verified"
NO_GUARD = "cannot be run: Python, which guards its stdin, cannot be started"
DEAF = "stopped reading before the file was verified"


class StreamedRun(HookRun):
    """An outlet for a file. Only a run that has seen the end of its stdin can succeed.

    The time-out counts while the hook keeps the file waiting, and from the end of the file on: not
    while it waits for the network.
    """

    # Without the launcher's guard the death of the agent would look like the end of the file.
    _needs_launcher = True

    def __init__(self, source: StreamProducer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._source = source
        self._fed: StreamedChild | None = None
        self._failing: Deferred[None] | None = None
        self._starting_over = self._deaf = False

    @property
    def delicate(self) -> bool:
        """Before the end of the file nothing that it has written can be in use."""
        return self._fed is None or self._fed.concluded

    # --- an outlet ---

    def write(self, data: bytes) -> Deferred[None]:
        if self._fed is None:
            return succeed(None)
        taken = self._fed.feed(data)
        if not taken.called:
            self._start_clock()
            taken.addCallback(lambda _: self._stop_clock())
        return taken

    def finish_stdin(self) -> None:
        self._start_clock()
        if self._fed is not None:
            self._fed.finish_stdin()

    def fail(self) -> Deferred[None]:
        if self._fed is None:
            return succeed(None)
        self._failing = Deferred()
        self._fed.kill()
        return self._failing

    def start_over(self, reason: str) -> None:
        self.log.warn("{job_id}: install hook: {reason}", job_id=self.job.job_id, reason=reason)
        self._starting_over = True
        if self._fed is not None:
            self._fed.kill()

    # --- one try ---

    def _make_child(self) -> Child:
        self._starting_over = self._deaf = False
        self._fed = StreamedChild(
            self._reactor, self._printed, self._ended, self._killpg, deaf=self._not_heard
        )
        return self._fed

    def _spawned(self) -> None:
        self._source.stream(self.job, self)

    def _not_heard(self) -> None:
        self._deaf = True
        if self._fed is not None:
            self._fed.kill()

    # --- its end ---

    def _judge(self, ended: Ended) -> None:
        failing, self._failing = self._failing, None
        if failing is not None:
            self._fed = None
            self._journal.over(self.job.key, self.hook)
            self._tell_over(None)
            failing.callback(None)
            return
        self._source.cancel_stream(self)
        if self._starting_over and not self._final:
            self._again()
        else:
            super()._judge(ended)
        self._fed = None

    def _failure(self, ended: Ended) -> str:
        if not ended.launched:
            return NO_GUARD
        if self._deaf and ended.signal == SIGKILL:
            return DEAF
        unverified = self._fed is not None and not self._fed.concluded
        return super()._failure(ended) or (UNVERIFIED if unverified else "")

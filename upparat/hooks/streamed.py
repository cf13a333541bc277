"""Runs an install hook that reads the file from its stdin.

The end of stdin says that the file is verified.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import suppress
from signal import SIGKILL
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from upparat.streaming import StreamProducer

from .child import Child, ExitStatus
from .launcher import GUARD_FD, launcher
from .outcome import Done, Failed, Withdrawn
from .run import HookRun

UNVERIFIED = "ended before the file was verified"
NO_GUARD = "cannot be run: Python, which guards its stdin, cannot be started"
STDIN_CLOSED_EARLY = "stopped reading before the file was verified"

PIPE = 1 << 20
"""Bytes of the pipe to stdin. A larger pipe needs fewer turns of the reactor."""


class StreamedRun(HookRun):
    """Consumes a file. The hook can succeed only after it has seen the end of stdin.

    The time-out runs while the hook does not read, and from the end of the file on. It stops while
    the hook waits for the network.
    """

    # Without the guard, the hook would take the death of the agent for the end of the file.
    _needs_launcher = True

    def __init__(self, source: StreamProducer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._source = source
        self._fed: StreamedChild | None = None
        self._failing: Deferred[None] | None = None
        self._starting_over = self._stdin_closed_early = False

    @property
    def must_finish(self) -> bool:
        """True after the end of the file. Before it, nothing that the hook wrote is in use."""
        return self._fed is None or self._fed.concluded

    # --- StreamConsumer ---

    def write(self, data: bytes) -> Deferred[None]:
        if self._fed is None:
            return succeed(None)
        taken = self._fed.feed(data)
        if not taken.called:
            self._start_clock()
            taken.addCallback(lambda _: self._timeout.cancel())
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

    def run_again(self, reason: str) -> None:
        self.log.warn("{job_id}: install hook: {reason}", job_id=self.job.job_id, reason=reason)
        self._starting_over = True
        if self._fed is not None:
            self._fed.kill()

    # --- one attempt ---

    def _make_child(self) -> Child:
        self._starting_over = self._stdin_closed_early = False
        self._fed = StreamedChild(
            self._reactor,
            self._on_output,
            self._child_exited,
            self._killpg,
            self._on_stderr,
            on_stdin_closed_early=self._on_stdin_closed_early,
        )
        return self._fed

    def _spawned(self) -> None:
        self._source.stream(self.job, self)

    def _on_stdin_closed_early(self) -> None:
        self._stdin_closed_early = True
        if self._fed is not None:
            self._fed.kill()

    # --- its end ---

    def _judge(self, status: ExitStatus) -> None:
        failing, self._failing = self._failing, None
        if failing is not None:
            self._fed = None
            self._attempts.over(self.job.key, self.hook)
            self._on_outcome(Withdrawn())
            failing.callback(None)
            return
        self._source.cancel_stream(self)
        if self._starting_over and not self._final:
            self._again("the file must come from byte 0 again")
        else:
            super()._judge(status)
        self._fed = None

    def _outcome(self, status: ExitStatus) -> Done | Failed:
        if not status.launched:
            return Failed(NO_GUARD)
        if self._stdin_closed_early and status.signal == SIGKILL:
            return Failed(STDIN_CLOSED_EARLY)
        unverified = self._fed is not None and not self._fed.concluded
        outcome = super()._outcome(status)
        return Failed(UNVERIFIED) if unverified and outcome == Done() else outcome


@implementer(IPushProducer)
class StreamedChild(Child):
    """Until :attr:`concluded`, its stdin has no end: it is killed instead, with its whole group.

    :param on_stdin_closed_early: called if the command closes its stdin before that.
    """

    _guarded = True

    def __init__(self, *arguments: Any, on_stdin_closed_early: Callable[[], None]) -> None:
        super().__init__(*arguments)
        self._on_stdin_closed_early = on_stdin_closed_early
        self._room: Deferred[None] | None = None
        self._full = self._ended_reading = self._gave_up = False
        self._concluding = False

    @property
    def concluded(self) -> bool:
        """Whether the command has got the end of stdin. It cannot be taken back."""
        return self._concluding and self._ended_reading and not self._gave_up

    def feed(self, data: bytes) -> Deferred[None]:
        """Write to stdin. Fire when there is room for more, or the command no longer reads."""
        self.transport.write(data)
        if not self._full or self._ended_reading:
            return succeed(None)
        self._room = Deferred()
        return self._room

    def finish_stdin(self) -> None:
        """End stdin after the bytes that were fed."""
        self._concluding = True
        cast(IConsumer, self.transport).unregisterProducer()
        self.transport.closeStdin()

    def end(self) -> None:
        """Kill it before the end of stdin: a command may take SIGTERM for the end of input."""
        if self.concluded:
            super().end()
        else:
            self.kill()

    # --- the launcher, with a guard ---

    def _launcher_argv(self) -> list[bytes]:
        return launcher(guarded=True)

    def _begun(self) -> None:
        cast(IConsumer, self.transport).registerProducer(self, True)
        stdin = self._stdin
        if stdin is not None:
            with suppress(OSError):
                fcntl.fcntl(stdin.fileno(), fcntl.F_SETPIPE_SZ, PIPE)

    @property
    def _stdin(self) -> Any:
        """The writing end, for which Twisted has no interface; ``None`` if it is closed."""
        return getattr(self.transport, "pipes", {}).get(0)

    def _close(self) -> None:
        super()._close()
        stdin = self._stdin
        if stdin is not None:
            # Otherwise Twisted waits until its buffer is read. The guard still holds the pipe open.
            stdin.connectionLost(Failure(ConnectionDone()))

    # --- ProcessProtocol ---

    def childConnectionLost(self, childFD: int) -> None:
        if childFD != 0 or self._ended_reading:
            return
        self._ended_reading = True
        # The rest of the file may still come, and be taken for read, before the exit is known.
        self._gave_up = not self._concluding
        self.resumeProducing()
        if self._concluding:
            self._release()
        elif not self._exited and not self.ending:
            self._on_stdin_closed_early()

    def processExited(self, reason: Failure) -> None:
        if not self.concluded:
            self._signal(SIGKILL)  # other readers of the pipe must not see its end
            self.transport.closeStdin()
            self.transport.closeChildFD(GUARD_FD)
        super().processExited(reason)

    def _tell(self, *, unkillable: bool = False) -> None:
        self.resumeProducing()
        super()._tell(unkillable=unkillable)

    # --- IPushProducer ---

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """Do nothing: a broken pipe is reported as a lost connection."""

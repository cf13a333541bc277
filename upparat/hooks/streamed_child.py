"""A child that reads a file from its stdin, the end of which says that the file is verified."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping
from contextlib import suppress
from signal import SIGKILL
from typing import Any, ClassVar, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from .child import Child
from .launcher import GUARD_FD, RELEASE, REPORT_FD, launcher

PIPE = 1 << 20
"""Bytes that the kernel holds for the command at the most: more make fewer turns."""


@implementer(IPushProducer)
class StreamedChild(Child):
    """Until :attr:`concluded`, its stdin has no end: it is killed instead, with its whole group.

    :param deaf: told if it reads no more before that.
    """

    _launcher_fds: ClassVar[Mapping[int, str]] = {REPORT_FD: "r", GUARD_FD: "w"}

    def __init__(self, *arguments: Any, deaf: Callable[[], None]) -> None:
        super().__init__(*arguments)
        self._deaf = deaf
        self._room: Deferred[None] | None = None
        self._full = self._ended_reading = False
        self._concluding = False

    @property
    def concluded(self) -> bool:
        """Whether its stdin has ended, and nothing can be taken back."""
        return self._concluding and self._ended_reading

    def feed(self, data: bytes) -> Deferred[None]:
        """More for its stdin; fires when there is room for the next, or nobody reads any more."""
        self.transport.write(data)
        if not self._full or self._ended_reading:
            return succeed(None)
        self._room = Deferred()
        return self._room

    def finish_stdin(self) -> None:
        """End its stdin after what was fed."""
        self._concluding = True
        cast(IConsumer, self.transport).unregisterProducer()
        self.transport.closeStdin()

    def end(self) -> None:
        """A command that is told to end could take that for the end of its input."""
        if self.concluded:
            super().end()
        else:
            self.kill()

    # --- the launcher, with a guard ---

    def _launcher_argv(self, sigpipe: str) -> list[bytes]:
        return launcher(sigpipe=sigpipe, guarded=True)

    def _begun(self) -> None:
        cast(IConsumer, self.transport).registerProducer(self, True)
        stdin = self._stdin
        if stdin is not None:
            with suppress(OSError):
                fcntl.fcntl(stdin.fileno(), fcntl.F_SETPIPE_SZ, PIPE)

    @property
    def _stdin(self) -> Any:
        """Our end of it, which no interface of Twisted's knows; ``None`` if it is closed."""
        return getattr(self.transport, "pipes", {}).get(0)

    def _release_guard(self) -> None:
        with suppress(KeyError):  # it has gone, though nobody has told it to
            self.transport.writeToChild(GUARD_FD, RELEASE)
        self.transport.closeChildFD(GUARD_FD)

    def _close(self) -> None:
        self.transport.closeChildFD(GUARD_FD)
        super()._close()
        stdin = self._stdin
        if stdin is not None:
            # It waits until what it holds is read, perhaps by nobody. The guard holds it as well.
            stdin.connectionLost(Failure(ConnectionDone()))

    # --- what Twisted tells ---

    def childConnectionLost(self, childFD: int) -> None:
        if childFD != 0 or self._ended_reading:
            return
        self._ended_reading = True
        self.resumeProducing()
        if self._concluding:
            self._release_guard()
        elif not self._exited and not self.ending:
            self._deaf()

    def processExited(self, reason: Failure) -> None:
        if not self.concluded:
            self._signal(SIGKILL)  # who else reads must not see an end either
            self.transport.closeStdin()
            self.transport.closeChildFD(GUARD_FD)
        super().processExited(reason)

    def _tell(self, *, stuck: bool = False) -> None:
        self.resumeProducing()
        super()._tell(stuck=stuck)

    # --- IPushProducer ---

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The pipe is broken, which is told as a lost connection."""

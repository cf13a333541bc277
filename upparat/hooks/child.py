"""A child process in a session of its own, with bounded output and a certain end."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.oneshot import OneShot

from .launcher import GO, LAUNCHED, REPORT_FD, launcher
from .output import Lines

GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL, and from SIGKILL to giving up."""

DRAIN = 1.0
"""Seconds that output is still read in when the child is gone but its pipes are held open."""

REST = 2 * 65536
"""Bytes that a child may have left in stdout and stderr; pipe(7)."""

POLL = 0.1
"""Seconds between two looks whether the rest of a process group that was told to end is gone."""

STDERR_TAIL = 50
"""Lines of stderr that are kept."""


class ChildReactor(IReactorProcess, IReactorTime):
    """What running a process asks of a reactor."""


@dataclass(frozen=True)
class ExitStatus:
    """How a child ended; ``stderr_tail`` are the last lines of its stderr.

    ``errno`` is set if the command could not be executed, ``unkillable`` if it could not be ended.
    ``launched`` is false if the launcher itself did not work, so that the command never ran.
    """

    code: int = 0
    signal: int = 0
    errno: int = 0
    unkillable: bool = False
    launched: bool = True
    stderr_tail: Sequence[str] = field(default=())


class Child(ProcessProtocol):
    """One run of a command. The run is over when the direct child is gone: a process that it left
    in the background is left alone and does not hold the end up, even if it keeps stdout open.

    :param on_output: told the lines of stdout as they come, some at a time.
    :param on_exit: told once how the run ended.
    """

    log = Logger()
    transport: IProcessTransport
    _launcher_fds: ClassVar[Mapping[int, str]] = {REPORT_FD: "r"}

    def __init__(
        self,
        clock: IReactorTime,
        on_output: Callable[[Sequence[str]], None],
        on_exit: Callable[[ExitStatus], None],
        killpg: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self._clock = clock
        self._on_output = on_output
        self._on_exit = on_exit
        self._killpg = killpg
        self._stdout, self._stderr = Lines(), Lines()
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL)
        self._report = b""
        self._launcher = True
        self._pid = 0
        self._exit: ProcessTerminated | None = None
        self._timer = OneShot(clock)
        self._drain = DRAIN
        self._kill_at: float | None = None
        self._received = self._received_alive = 0
        self._exited = self._settled = self._closed = self._told = False

    def start(
        self,
        reactor: IReactorProcess,
        argv: Sequence[bytes],
        env: Mapping[bytes, bytes],
        *,
        launcher: bool = True,
        survives_us: bool = False,
        on_pid: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """Spawn the command; it inherits the working directory and reads an empty stdin.

        :param on_pid: told the process id, with the launcher before the command begins. If we die
            before this has returned, the command never runs.
        :param launcher: start it in a session of its own; without, only the direct child is ended.
        :param survives_us: leave SIGPIPE ignored, so that it can go on when nobody reads any more.
        :raises OSError: nothing was started.
        """
        self._launcher = launcher
        fds: dict[int, int | str] = {0: "w", 1: "r", 2: "r"}
        if launcher:
            argv = [*self._launcher_argv("SIG_IGN" if survives_us else "SIG_DFL"), *argv]
            fds.update(self._launcher_fds)
        reactor.spawnProcess(self, argv[0], argv, env, childFDs=fds)
        on_pid(self._pid)
        if launcher:
            self.transport.write(GO)
        self._begun()

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._kill_at is not None

    @property
    def exit(self) -> ProcessTerminated | None:
        """How the direct child has ended, if it has and not with 0; its output may still come."""
        return self._exit

    @property
    def running(self) -> bool:
        """Whether the direct child is there and was not told to end."""
        return not self._exited and not self.ending

    def end(self) -> None:
        """SIGTERM to the whole group, then SIGKILL to what is left of it after :data:`GRACE`."""
        if not self.running:
            return
        self._kill_at = self._clock.seconds() + GRACE
        self._signal(signal.SIGTERM)
        self._timer.start(GRACE, self._kill)

    def kill(self) -> None:
        """SIGKILL to the whole group at once."""
        if not self._told and not self._settled:
            self._kill_at = self._clock.seconds()
            self._kill()

    def detach(self) -> None:
        """Leave it running and say nothing about it any more; no timer is left behind."""
        self._told = True
        self._drain = 0
        self._timer.cancel()
        if self._exited:
            self._close()

    # --- what is special about a child ---

    def _launcher_argv(self, sigpipe: str) -> list[bytes]:
        return launcher(sigpipe=sigpipe)

    def _begun(self) -> None:
        """The command may begin."""
        self.transport.closeStdin()

    # --- what Twisted tells ---

    def connectionMade(self) -> None:
        self._pid = self.transport.pid or 0

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if self._told:
            return
        self._received += len(data)
        if childFD == 1:
            self._on_output(self._stdout.feed(data))
        elif childFD == 2:
            self._stderr_tail.extend(self._stderr.feed(data))
        else:
            self._report += data

    def processExited(self, reason: Failure) -> None:
        self._exited = True
        self._received_alive = self._received
        self._exit = reason.value if isinstance(reason.value, ProcessTerminated) else None
        if self._kill_at is None or self._told:
            self._settle()
        else:
            self._await_group()

    def processEnded(self, reason: Failure) -> None:
        self._closed = True
        if self._settled:
            self._tell()

    # --- ending ---

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._exited:
            self._settle()
        else:
            self._timer.start(GRACE, self._give_up)

    def _give_up(self) -> None:
        """It sleeps in the kernel for ever, or is somebody else's (``sudo``)."""
        self.log.error("Process {pid} cannot be ended", pid=self._pid)
        self._close()
        self._tell(unkillable=True)

    def _await_group(self) -> None:
        """The direct child has gone; its own children have until the SIGKILL to do the same."""
        if not self._group_lives():
            self._settle()
        elif self._kill_at is not None and self._clock.seconds() >= self._kill_at:
            self._kill()
        else:
            self._timer.start(POLL, self._await_group)

    def _settle(self) -> None:
        """Nothing more is awaited but the output that is still in the pipes."""
        self._settled = True
        if self._closed:
            self._tell()
        else:
            self._timer.start(self._drain, self._close_emptied)

    def _close_emptied(self) -> None:
        """Close the pipes once nothing was read from them for a turn: if we were kept from reading,
        the time may be up although the child's own last words wait."""
        before = self._received
        if self._told or before - self._received_alive >= REST:
            self._close()
        else:
            self._timer.start(0, lambda: self._close_unless_more_than(before))

    def _close_unless_more_than(self, received: int) -> None:
        if self._received > received:
            self._close_emptied()
        else:
            self._close()

    def _close(self) -> None:
        self.transport.loseConnection()
        self.transport.closeChildFD(REPORT_FD)

    def _tell(self, *, unkillable: bool = False) -> None:
        self._timer.cancel()
        if self._told:
            return
        self._told = True
        self._on_output(self._stdout.flush())
        self._stderr_tail.extend(self._stderr.flush())
        self._on_exit(self._exit_status(unkillable))

    def _exit_status(self, unkillable: bool) -> ExitStatus:
        errno = self._report.removeprefix(LAUNCHED)
        return ExitStatus(
            code=(self._exit and self._exit.exitCode) or 0,
            signal=(self._exit and self._exit.signal) or 0,
            errno=int(errno) if errno.isdigit() else 0,
            unkillable=unkillable,
            launched=not self._launcher or self._report.startswith(LAUNCHED),
            stderr_tail=tuple(self._stderr_tail),
        )

    # --- signals ---

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._killpg(self._pid, number)
        except ProcessLookupError:  # not (yet) the leader of a group
            with suppress(ProcessExitedAlready, PermissionError):
                self.transport.signalProcess(number)
        except PermissionError:
            self.log.error("Not allowed to end process {pid}", pid=self._pid)

    def _group_lives(self) -> bool:
        try:
            self._killpg(self._pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

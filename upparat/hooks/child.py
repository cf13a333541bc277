"""Runs a child process in a session of its own, with bounded output, and always ends it."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.oneshot import OneShot

from .launcher import GO, GUARD_FD, LAUNCHED, RELEASE, REPORT_FD, launcher
from .output import Lines

GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL, and from SIGKILL to giving up."""

DRAIN = 1.0
"""Seconds to read on after the child has exited, if another process holds its pipes."""

REST = 2 * 65536
"""Bytes that stdout and stderr can hold together after the child has exited; see pipe(7)."""

POLL = 0.1
"""Seconds between two checks whether a process group that got SIGTERM is gone."""

STDERR_TAIL = 50
"""Lines of stderr that are kept."""


class ChildReactor(IReactorProcess, IReactorTime):
    """The interfaces of a reactor that a child needs."""


@dataclass(frozen=True)
class ExitStatus:
    """The end of a child.

    :ivar errno: set if the command could not be executed.
    :ivar unkillable: SIGKILL had no effect, or was not permitted.
    :ivar launched: false if the launcher failed, so that the command never ran.
    :ivar stderr_tail: the last lines of stderr.
    """

    code: int = 0
    signal: int = 0
    errno: int = 0
    unkillable: bool = False
    launched: bool = True
    stderr_tail: Sequence[str] = field(default=())


class Child(ProcessProtocol):
    """Runs a command once. The run ends when the direct child has exited. A process that the
    child left in the background goes on, and does not delay the end even if it holds stdout open.

    :param on_output: called with the lines of stdout of one read.
    :param on_exit: called once, when the run has ended.
    :param on_stderr: called with the lines of stderr of one read.
    """

    log = Logger()
    transport: IProcessTransport
    _guarded = False  # whether the launcher starts a guard

    def __init__(
        self,
        clock: IReactorTime,
        on_output: Callable[[Sequence[str]], None],
        on_exit: Callable[[ExitStatus], None],
        killpg: Callable[[int, int], None] = os.killpg,
        on_stderr: Callable[[Sequence[str]], None] = lambda lines: None,
    ) -> None:
        self._clock = clock
        self._on_stderr = on_stderr
        self._on_output = on_output
        self._on_exit = on_exit
        self._killpg = killpg
        self._stdout, self._stderr = Lines(), Lines()
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL)
        self._report = b""
        self._launcher = True
        self._drained = False
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

        :param on_pid: called with the process id. With the launcher, the command starts only after
            this has returned: if the agent dies before, the command never runs.
        :param launcher: start the command in a session of its own. Without, signals reach only the
            direct child.
        :param survives_us: with the launcher, what the command prints after the agent is gone is
            read by another process.
        :raises OSError: nothing was started.
        """
        self._launcher = launcher
        fds: dict[int, int | str] = {0: "w", 1: "r", 2: "r"}
        if launcher:
            self._drained = survives_us
            argv = [*self._launcher_argv(), *argv]
            fds[REPORT_FD] = "r"
            if self._drained or self._guarded:
                fds[GUARD_FD] = "w"
        reactor.spawnProcess(self, argv[0], argv, env, childFDs=fds)
        on_pid(self._pid)
        if launcher:
            self.transport.write(GO)
        self._begun()

    @property
    def ending(self) -> bool:
        """Whether the agent has begun to end it."""
        return self._kill_at is not None

    @property
    def exit(self) -> ProcessTerminated | None:
        """The error of the direct child; ``None`` while it runs and if it exited with 0. Output may
        still come."""
        return self._exit

    @property
    def running(self) -> bool:
        """Whether the direct child runs and the agent has not begun to end it."""
        return not self._exited and not self.ending

    def end(self) -> None:
        """SIGTERM to the whole group, then SIGKILL to the rest after :data:`GRACE`."""
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
        """Let it run on, call no callback any more, and cancel every timer."""
        self._told = True
        self._drain = 0
        self._timer.cancel()
        if self._exited:
            self._close()

    # --- for subclasses ---

    def _launcher_argv(self) -> list[bytes]:
        return launcher(drained=self._drained)

    def _release(self) -> None:
        """End the guard or the drain."""
        with suppress(KeyError):  # it has exited unasked
            self.transport.writeToChild(GUARD_FD, RELEASE)
        self.transport.closeChildFD(GUARD_FD)

    def _begun(self) -> None:
        """Called when the command may start."""
        self.transport.closeStdin()

    # --- ProcessProtocol ---

    def connectionMade(self) -> None:
        self._pid = self.transport.pid or 0

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if self._told:
            return
        self._received += len(data)
        if childFD == 1:
            self._on_output(self._stdout.feed(data))
        elif childFD == 2:
            self._take_stderr(self._stderr.feed(data))
        else:
            self._report += data

    def _take_stderr(self, lines: Sequence[str]) -> None:
        self._stderr_tail.extend(lines)
        self._on_stderr(lines)

    def processExited(self, reason: Failure) -> None:
        self._exited = True
        if self._drained and not self._told:
            self._release()
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
        """Report an unkillable child: it hangs in the kernel, or is another user's (``sudo``)."""
        self.log.error("Process {pid} cannot be ended", pid=self._pid)
        self._close()
        self._tell(unkillable=True)

    def _await_group(self) -> None:
        """Wait for the rest of the group after the child has exited, at most until SIGKILL."""
        if not self._group_lives():
            self._settle()
        elif self._kill_at is not None and self._clock.seconds() >= self._kill_at:
            self._kill()
        else:
            self._timer.start(POLL, self._await_group)

    def _settle(self) -> None:
        """Wait only for the output that is still in the pipes."""
        self._settled = True
        if self._closed:
            self._tell()
        else:
            self._timer.start(self._drain, self._close_emptied)

    def _close_emptied(self) -> None:
        """Close the pipes after one turn of the reactor without input. A busy agent may reach this
        point before it has read the child's last lines."""
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
        self.transport.closeChildFD(GUARD_FD)

    def _tell(self, *, unkillable: bool = False) -> None:
        self._timer.cancel()
        if self._told:
            return
        self._told = True
        self._on_output(self._stdout.flush())
        self._take_stderr(self._stderr.flush())
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

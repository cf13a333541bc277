"""Runs a harmless command outside of jobs, and ends it when a job needs the device."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from upparat.hooks.child import Child, ChildReactor, ExitStatus
from upparat.hooks.outcome import Failed
from upparat.hooks.pidfiles import Pidfiles
from upparat.hooks.run import EXIT_RETRY, cannot_execute, found, judge
from upparat.job import Hook
from upparat.oneshot import OneShot
from upparat.text import printable

MAX_LINES = 512
"""Lines of stdout that are kept: the last ones."""


class ProbeFailed(Exception):
    """The command gives no answer; the text says why."""


class ProbeLater(ProbeFailed):
    """The command asks to be run again later."""


class ProbeEnded(Exception):
    """The command was ended, because a job needs the device."""


class Probe:
    """Runs one command at a time.

    Its pidfile is that of the version hook, so the next agent ends a probe that a killed agent has
    left behind. No hook of a job runs beside a probe.

    :param timeout: seconds that a command may take.
    """

    log = Logger()

    def __init__(
        self,
        reactor: ChildReactor,
        pidfiles: Pidfiles,
        timeout: float,
        killpg: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self._reactor = reactor
        self._pidfiles = pidfiles
        self._seconds = timeout
        self._killpg = killpg
        self._child: Child | None = None
        self._answer: Deferred[list[str]] = Deferred()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._timeout = OneShot(reactor)
        self._timed_out = self._ended = False
        self._waiting: list[Deferred[None]] = []

    @property
    def running(self) -> bool:
        return self._child is not None

    def run(
        self,
        command: Sequence[str],
        arguments: Sequence[bytes],
        environment: Mapping[bytes, bytes],
    ) -> Deferred[list[str]]:
        """Run a command. The Deferred fires with the lines of its stdout, if it exits with 0.

        The Deferred fails with :class:`ProbeFailed`, or with :class:`ProbeEnded` after
        :meth:`end`. It cannot be cancelled.
        """
        self._lines.clear()
        self._timed_out = self._ended = False
        answer: Deferred[list[str]] = Deferred()
        self._answer = answer
        try:
            argv = [*map(os.fsencode, found(command)), *arguments]
            self._start(argv, environment)
        except OSError as error:
            self._child = None
            return fail(ProbeFailed(cannot_execute(error.errno or errno.EIO, command[0])))
        return answer

    def end(self) -> Deferred[None]:
        """End the command, if one runs. The Deferred fires when none of its processes runs; it may
        be cancelled."""
        if self._child is None:
            return succeed(None)
        self._ended = True
        self._child.end()
        gone: Deferred[None] = Deferred()
        self._waiting.append(gone)
        return gone

    def _start(self, argv: Sequence[bytes], environment: Mapping[bytes, bytes]) -> None:
        self._child = Child(
            self._reactor,
            self._lines.extend,
            lambda status: self._exited(argv, status),
            self._killpg,
        )
        self._child.start(self._reactor, argv, environment, on_pid=self._write_pidfile)
        self._timeout.start(self._seconds, self._time_out)

    def _write_pidfile(self, pid: int) -> None:
        try:
            self._pidfiles.write(Hook.VERSION, pid)
        except OSError as error:
            self.log.warn("A probe has no pidfile: {error}", error=str(error))

    def _time_out(self) -> None:
        if self._child is not None and self._child.running:
            self._timed_out = True
            self._child.end()

    def _exited(self, argv: Sequence[bytes], status: ExitStatus) -> None:
        self._timeout.cancel()
        self._child = None
        if not status.unkillable:
            self._pidfiles.remove(Hook.VERSION)
        for line in filter(None, map(printable, status.stderr_tail)):
            self.log.debug("A probe, stderr: {line}", line=line)
        waiting, self._waiting = self._waiting, []
        self._settle(os.fsdecode(argv[0]), status)
        for gone in waiting:
            gone.callback(None)

    def _settle(self, command: str, status: ExitStatus) -> None:
        outcome = judge(status, command)
        if self._ended:
            self._answer.errback(ProbeEnded())
        elif self._timed_out:
            self._answer.errback(ProbeFailed(f"Timed out after {self._seconds:g}s"))
        elif not status.launched:
            self._answer.errback(ProbeFailed("cannot be executed: Python cannot be started"))
        elif status.code == EXIT_RETRY:
            self._answer.errback(ProbeLater(f"Exit code: {EXIT_RETRY}"))
        elif isinstance(outcome, Failed):
            self._answer.errback(ProbeFailed(outcome.reason))
        else:
            self._answer.callback(list(self._lines))

"""Runs one hook for one job: its attempts, its time-out, and how it ended."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.config.settings import HookSettings
from upparat.job import Hook
from upparat.oneshot import OneShot
from upparat.ports import STREAM
from upparat.snapshots import HookSnapshot, Wait, WaitKind
from upparat.text import printable

from .call import Call
from .child import Child, ChildReactor, ExitStatus
from .journal import HookAttempts
from .outcome import Done, Failed, Outcome
from .output import BURST
from .pidfiles import Pidfiles

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
"""Signals that an init system sends to processes when the device shuts down."""

_SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Errors of a fork that may succeed later: the device is short of something for the moment."""

EXIT_RETRY = 3
"""The exit status of a hook that asks for another attempt."""


def judge(status: ExitStatus, command: str) -> Done | Failed:
    """Return the outcome of an attempt that the agent did not end."""
    if status.errno:
        return Failed(cannot_execute(status.errno, command))
    if status.signal:
        return Failed(f"Killed by signal {status.signal} ({_signal_name(status.signal)})")
    return Failed(f"Exit code: {status.code}") if status.code else Done()


def cannot_execute(number: int, command: str) -> str:
    """Return the reason for an ``exec`` of ``command`` that failed with this ``errno``."""
    reason = os.strerror(number)
    if number == errno.ENOENT and os.path.exists(command):
        # The kernel says the same of a script without interpreter, a program without its loader.
        reason = f"the interpreter that {command} names was not found"
    return f"cannot be executed: {reason}"


def found(command: Sequence[str]) -> Sequence[str]:
    """Find the executable of a command. A name without a directory was not in ``PATH`` when the
    agent started.

    :raises FileNotFoundError: if it still is not.
    """
    name, *rest = command
    path = name if "/" in name else shutil.which(name)
    if path is None:
        raise FileNotFoundError(errno.ENOENT, f"{name} was not found")
    return [os.path.abspath(path), *rest]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time signal"


def _has_failed(child: Child) -> bool:
    """True if the child failed by itself, and was not killed by init in a shut-down."""
    return child.exit is not None and child.exit.signal not in _ENDING


class HookRun:
    """Runs a hook until it has succeeded or failed for good.

    :param call: its arguments. Counters continue from the last attempt in ``attempts``.
    :param on_output: called with the lines of stdout of one read, none empty.
    :param file_problem: returns why the file at a path must not be installed; empty if it may.
    :param on_outcome: called once with the outcome, when no process of the hook runs any more.

    ``last_line`` is set by ``on_output``; it is empty when an attempt begins.
    """

    log = Logger()
    _needs_launcher = False

    def __init__(
        self,
        reactor: ChildReactor,
        settings: HookSettings,
        call: Call,
        on_output: Callable[[Sequence[str]], None],
        on_outcome: Callable[[Outcome], None],
        attempts: HookAttempts,
        pidfiles: Pidfiles,
        killpg: Callable[[int, int], None] = os.killpg,
        file_problem: Callable[[str], str] = lambda file: "",
    ) -> None:
        self.hook = call.hook
        self.job = call.job
        self.last_line = ""
        self._reactor = reactor
        self._settings = settings
        self._command = settings.commands.get(call.hook, ())
        self._call = call
        self._attempts = attempts
        self._pidfiles = pidfiles
        self._on_output = on_output
        self._on_outcome = on_outcome
        self._killpg = killpg
        self._file_problem = file_problem
        self._started = reactor.seconds()
        self._retry = 0
        self._final = False
        self._launcher = True
        self._child: Child | None = None
        self._timeout = OneShot(reactor)
        self._clear: Deferred[None] | None = None
        self._pause = OneShot(reactor)
        self._pause_reason = ""
        self._run_began = self._started
        self._timed_out = False
        self._runs = 0
        self._last = ExitStatus()

    def start(self, clear: Deferred[None]) -> None:
        """Start as soon as ``clear`` fires."""
        self._clear = clear
        clear.addCallbacks(lambda _: self._start(), lambda failure: failure.trap(CancelledError))
        clear.addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        """Report a fault of the agent, because the job would wait for ever."""
        self.log.failure("The {hook} hook cannot be run", failure, hook=self.hook.value)
        if self._child is None:
            self._over(Failed(f"cannot be run: {failure.getErrorMessage()}"))

    def _start(self) -> None:
        self._clear = None
        if not self._command:
            self._over(Failed("is not configured"))
            return
        before = self._attempts.last_attempt(self.job.key, self.hook)
        if before is None:
            self._try()
        else:
            self._go_on(*before)

    def _go_on(self, retry: int, elapsed: float) -> None:
        """Count the attempt in which, or after which, an earlier agent was stopped."""
        self._started -= elapsed
        self._runs = self._retry = retry + 1
        if self._retry > self._settings.max_retries:
            self._over(Failed(f"Given up: the agent was stopped in the last of {self._retry} runs"))
        else:
            self._try()

    def finish(self, *, kill: bool) -> None:
        """Make no further attempt. Between two attempts the run ends at once. A running child is
        ended, or may finish within its time-out.

        :param kill: end a running child.
        """
        self._final = True
        if self._is_waiting:
            self._stop_waiting()
            self._over(Failed("was called off before it ran"))
        elif kill and self._child is not None:
            self._child.end()

    @property
    def _is_waiting(self) -> bool:
        return self._clear is not None or self._pause.running

    def snapshot(self) -> HookSnapshot:
        """Return the run that is under way, or what the next one waits for."""
        running = self._child is not None
        return HookSnapshot(
            self.hook,
            run=self._retry + 1,
            timeout=self._settings.timeouts[self.hook],
            seconds=self._reactor.seconds() - self._run_began if running else None,
            remaining=self._timeout.remaining,
            wait=self._wait(),
        )

    def _wait(self) -> Wait | None:
        if self._clear is not None:
            return Wait(WaitKind.EARLIER_HOOK, "a hook of an earlier agent may still run")
        if self._pause.running:
            return Wait(WaitKind.HOOK_RETRY, self._pause_reason, self._pause.remaining)
        return None

    def _stop_waiting(self) -> None:
        clear, self._clear = self._clear, None
        if clear is not None:
            clear.cancel()
        self._pause.cancel()

    @property
    def must_finish(self) -> bool:
        """True if the device may be broken when the hook is killed half-way."""
        return self.hook.must_finish

    def detach(self) -> bool:
        """Let the child run on without the agent. Return False if no child runs, or it has failed
        or is being ended."""
        if self._child is None or self._child.ending or _has_failed(self._child):
            return False
        self._timeout.cancel()
        self._child.detach()
        return True

    # --- one attempt ---

    def _try(self) -> None:
        if problem := self._unfit_file():
            self._over(Failed(problem))
            return
        self.last_line = ""
        self._run_began = self._reactor.seconds()
        elapsed = self._run_began - self._started
        call = replace(self._call, retry=self._retry, elapsed=int(elapsed))
        self._attempts.begun(self.job.key, self.hook, self._retry, elapsed)
        self._runs = self._retry + 1
        self.log.info(
            "{job_id}: running the {hook} hook (retry {retry}, after {elapsed} s)",
            job_id=self.job.job_id,
            hook=self.hook.value,
            retry=self._retry,
            elapsed=call.elapsed,
        )
        try:
            self._spawn(call)
        except OSError as error:
            self._child = None
            self._not_spawned(error)

    def _unfit_file(self) -> str:
        """Why the file must not be installed. Look at it before each run: another one may come long
        after the file was verified."""
        file = self._call.file
        stored = self.hook is Hook.INSTALL and file != STREAM
        return self._file_problem(file) if stored else ""

    def _not_spawned(self, error: OSError) -> None:
        reason = cannot_execute(error.errno or 0, self._command[0])
        if error.errno in _SCARCE:
            self.log.warn("{job_id}: {reason}", job_id=self.job.job_id, reason=reason)
            self._again(reason)
        else:
            self._over(Failed(reason))

    def _spawn(self, call: Call) -> None:
        argv = [*map(os.fsencode, found(self._command)), *call.arguments()]
        environment = call.environment()
        try:
            self._start_child(argv, environment)
        except OSError as error:
            if not self._launcher or self._needs_launcher or error.errno in _SCARCE:
                raise
            self._without_launcher()
            self._start_child(argv, environment)
        self._spawned()

    def _spawned(self) -> None:
        """Called when the child runs."""
        self._start_clock()

    def _make_child(self) -> Child:
        return Child(
            self._reactor, self._on_output, self._child_exited, self._killpg, self._on_stderr
        )

    def _start_child(self, argv: Sequence[bytes], environment: dict[bytes, bytes]) -> None:
        child = self._child = self._make_child()
        child.start(
            self._reactor,
            argv,
            environment,
            launcher=self._launcher,
            survives_us=self.hook is Hook.RESTART,
            on_pid=self._write_pidfile,
        )

    def _write_pidfile(self, pid: int) -> None:
        """Write the pidfile. Without a launcher it names a process that leads no group.

        A full disk is no reason not to run the hook: see :mod:`.pidfiles`.
        """
        try:
            self._pidfiles.write(self.hook, pid)
        except OSError as error:
            self.log.warn(
                "The {hook} hook has no pidfile: {error}", hook=self.hook.value, error=str(error)
            )

    def _without_launcher(self) -> None:
        """Go on without a launcher. An update may have replaced the Python of the agent, and hooks
        must still run."""
        self.log.warn("Python cannot be started: the hook runs without a session of its own")
        self._launcher = False

    def _time_out(self) -> None:
        if self._child is not None and self._child.running:
            self._timed_out = True
            self._child.end()

    def _start_clock(self) -> None:
        timeout = self._settings.timeouts[self.hook]
        self._timeout.start(timeout, self._time_out)

    # --- its end ---

    def _child_exited(self, status: ExitStatus) -> None:
        self._timeout.cancel()
        self._child = None
        if not status.unkillable:
            self._pidfiles.remove(self.hook)
        called_off = self._timed_out or self._final
        if not status.launched and not called_off and not self._needs_launcher:
            self._without_launcher()
            self._try()
        else:
            self._judge(status)

    def _judge(self, status: ExitStatus) -> None:
        """Decide what follows the end of an attempt."""
        self._last = status
        outcome = self._outcome(status)
        if self._falls_with_us(status):
            self._attempts.left(self.job.key)
            self._pause_reason = "the restart hook was ended: the device may be going down"
            self._pause.start(self._settings.restart_grace, self._over, outcome)
            return
        self._log_stderr(status.stderr_tail, failed=outcome != Done() and status.code != EXIT_RETRY)
        if status.code == EXIT_RETRY and not self._final and not self._timed_out:
            self._again(f"the hook exited with {EXIT_RETRY}")
        else:
            self._over(outcome)

    def _falls_with_us(self, status: ExitStatus) -> bool:
        """True if init killed the restart hook. The device is probably shutting down, and the agent
        will be stopped next."""
        ours = self._timed_out or self._final
        return self.hook is Hook.RESTART and status.signal in _ENDING and not ours

    def _over(self, outcome: Outcome) -> None:
        if not self._final:
            self._attempts.over(self.job.key, self.hook)
        if isinstance(outcome, Failed):
            outcome = replace(outcome, facts=self._facts())
        self._on_outcome(outcome)

    def _facts(self) -> dict[str, str]:
        """What AWS learns of a failure beside its reason."""
        facts = {"hook": self.hook.value, "runs": str(self._runs)}
        if self._runs:
            facts["seconds"] = str(int(self._reactor.seconds() - self._started))
        if self._last.signal:
            facts["signal"] = str(self._last.signal)
        elif self._last.code:
            facts["exit_code"] = str(self._last.code)
        lines = filter(None, map(printable, self._last.stderr_tail))
        return {**facts, "stderr": " | ".join(lines)}

    def _outcome(self, status: ExitStatus) -> Done | Failed:
        if self._timed_out:
            end = "could not be ended" if status.unkillable else "was ended"
            return Failed(f"Timed out after {self._settings.timeouts[self.hook]:g}s and {end}")
        if status.unkillable:
            return Failed("could not be ended")
        return judge(status, self._command[0])

    def _again(self, reason: str) -> None:
        self._pause_reason = reason
        self._retry += 1
        if self._retry >= self._settings.max_retries:
            limit = self._settings.max_retries * self._settings.retry_interval
            self._over(Failed(f"Timeout after {limit:g}s"))
        else:
            self.log.info(
                "{job_id}: {hook} hook: again in {seconds:g} s",
                job_id=self.job.job_id,
                hook=self.hook.value,
                seconds=self._settings.retry_interval,
            )
            self._attempts.waiting(self.job.key, self.hook)
            self._pause.start(self._settings.retry_interval, self._try)

    def _on_stderr(self, lines: Sequence[str]) -> None:
        """Log the lines as they come. The end of them is logged once more, at a higher level."""
        self.log_omitted("stderr", len(lines) - BURST)
        for line in filter(None, map(printable, lines[-BURST:])):
            self.log_line("stderr", line)

    def log_line(self, stream: str, line: str) -> None:
        """Log a line of a stream of the hook; it is printable."""
        self.log.debug(
            "{job_id}: {hook} hook: {line}",
            job_id=self.job.job_id,
            hook=self.hook.value,
            line=line,
            stream=stream,
        )

    def log_omitted(self, stream: str, count: int) -> None:
        """Log how many lines of a stream are not logged, if there are any."""
        if count > 0:
            self.log_line(stream, f"… {count} lines are left out …")

    def _log_stderr(self, stderr_tail: Sequence[str], *, failed: bool) -> None:
        tell = self.log.warn if failed else self.log.info
        for line in map(printable, stderr_tail):
            if line:
                tell(
                    "{job_id}: {hook} hook, stderr: {line}",
                    job_id=self.job.job_id,
                    hook=self.hook.value,
                    line=line,
                    repeats=True,
                )

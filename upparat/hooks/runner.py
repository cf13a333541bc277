"""The ``Hooks`` port: the owner's commands as child processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from upparat.config.settings import HookSettings
from upparat.job import Hook, Job
from upparat.ports import LOOPBACK, STREAM, HookEvents, Hooks
from upparat.snapshots import HookSnapshot
from upparat.streaming import StreamProducer, UrlLender
from upparat.text import printable

from .call import Call
from .child import ChildReactor
from .journal import HookAttempts
from .orphans import Orphans
from .outcome import Failed, Outcome, Withdrawn
from .output import BURST
from .pidfiles import Pidfiles
from .run import HookRun

RESTART = "restart"
"""The last line of a rollback hook that wants the restart hook to run."""


class HookRunner:
    """Runs hooks one at a time and reports to :class:`upparat.ports.HookEvents`.

    :param source: streams the file to an install hook that reads it from stdin.
    :param lender: lends a URL to an install hook that fetches the file itself.
    :param agent: the agent's state directory, with the pidfiles by which a later agent finds the
        hooks.
    :param file_problem: returns why the file at a path must not be installed; empty if it may.
    :param attempts: remembers across a crash how often a hook was run.
    :param killpg: ``os.killpg``, or a fake.
    :param make_way: asked before each hook: ends what runs outside of jobs, and fires when it has
        ended.
    """

    log = Logger()
    events: HookEvents

    def __init__(
        self,
        reactor: ChildReactor,
        settings: HookSettings,
        *,
        agent: str,
        attempts: HookAttempts,
        source: StreamProducer | None = None,
        lender: UrlLender | None = None,
        file_problem: Callable[[str], str] = lambda file: "",
        pidfiles: Pidfiles | None = None,
        orphans: Orphans | None = None,
        killpg: Callable[[int, int], None] = os.killpg,
        make_way: Callable[[], Deferred[None]] = lambda: succeed(None),
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._agent = agent
        self._source = source
        self._lender = lender
        self._attempts = attempts
        self._file_problem = file_problem
        self._pidfiles = pidfiles or Pidfiles(Path(agent))
        self._orphans = orphans or Orphans(
            reactor, settings.timeouts, self._pidfiles, killpg=killpg
        )
        self._killpg = killpg
        self._make_way = make_way
        self._run: HookRun | None = None
        self._afterwards: list[Callable[[], None]] = []
        self._closed = False

    def wait_for_leftovers(self) -> Deferred[None]:
        """Fire when no hook of an earlier agent is in the way. This can take as long as an
        installation."""
        return self._orphans.wait_for_leftovers()

    def run(self, hook: Hook, job: Job, file: str = "", reason: str = "") -> None:
        if self._closed:
            self.log.error("The {hook} hook was asked for after the stop", hook=hook.value)
        elif self._run is not None:
            self.log.error("The {hook} hook has to wait for another one", hook=hook.value)
            self._afterwards.append(lambda: self.run(hook, job, file, reason))
            self._finish(self._run)
        else:
            call = Call(hook, job, file, agent=self._agent, reason=reason)
            run = self._run = self._make_run(call)
            gone = self._orphans.gone() if run.must_finish else succeed(None)
            run.start(gone.addCallback(lambda _: self._make_way()))

    @property
    def busy(self) -> bool:
        """Whether a hook runs, or waits for its next attempt."""
        return self._run is not None

    def _make_run(self, call: Call) -> HookRun:
        kind: Callable[..., HookRun] = HookRun
        if self._source is not None and call.file == STREAM:
            from .streamed import StreamedRun  # few devices need it

            kind = partial(StreamedRun, self._source)
        elif self._lender is not None and call.file == LOOPBACK:
            from .lent import LentRun  # few devices need it

            kind = partial(LentRun, self._lender)
        return kind(
            self._reactor,
            self._settings,
            call,
            self._on_output,
            self._run_ended,
            self._attempts,
            self._pidfiles,
            self._killpg,
            self._file_problem,
        )

    def snapshot(self) -> HookSnapshot | None:
        """Return the hook that runs or waits; ``None`` if there is none."""
        return self._run.snapshot() if self._run is not None else None

    def restart_lingers(self) -> bool:
        return self._orphans.lingers(Hook.RESTART)

    def forget_restart(self) -> None:
        self._orphans.forget(Hook.RESTART)

    def release(self) -> None:
        if self._closed:
            return
        if self._run is None:
            self.events.released()
            return
        self._afterwards.append(self._released)
        self._finish(self._run)

    def shut_down(self) -> Deferred[None]:
        """End the running hook and report no event. Fire when none of its processes runs.

        Do not end a running restart hook or wait for it, because it restarts the agent.
        """
        self._closed = True
        self._orphans.stop()
        run, self._run = self._run, None
        if run is None:
            return succeed(None)
        if run.hook is Hook.RESTART and run.detach():
            self._attempts.left(run.job.key)
            return succeed(None)
        self._run = run
        ended: Deferred[None] = Deferred()
        self._afterwards.append(lambda: ended.callback(None))
        run.finish(kill=True)
        return ended

    def _finish(self, run: HookRun) -> None:
        run.finish(kill=not run.must_finish or self._settings.kill_on_cancel)

    def _released(self) -> None:
        if not self._closed:
            self.events.released()

    # --- callbacks of a run ---

    def _on_output(self, lines: Sequence[str]) -> None:
        if self._run is None:
            return
        said = [line for line in lines if line.strip()]
        self._run.log_omitted("stdout", len(said) - BURST)
        told = said[-BURST:]
        if told:
            self._run.last_line = told[-1].strip()
        for line in filter(None, map(printable, told)):
            if self._run is not None:
                self._tell_line(self._run, line)

    def _tell_line(self, run: HookRun, line: str) -> None:
        run.log_line("stdout", line)
        if run.hook is Hook.INSTALL and not self._afterwards and not self._closed:
            self.events.install_output(line)

    def _run_ended(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        afterwards, self._afterwards = self._afterwards, []
        if run is None:
            return
        if not isinstance(outcome, Withdrawn):
            self._log_outcome(run, outcome)
            if not afterwards and not self._closed:
                self._report(run, outcome)
        for call in afterwards:
            call()

    def _log_outcome(self, run: HookRun, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self.log.warn(
                "{job_id}: {hook} hook: {problem}",
                job_id=run.job.job_id,
                hook=run.hook.value,
                problem=outcome.reason,
            )
        else:
            self.log.info("{job_id}: {hook} hook done", job_id=run.job.job_id, hook=run.hook.value)

    def _report(self, run: HookRun, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            reason = run.last_line if run.hook is Hook.CHECK else ""
            self.events.hook_failed(run.hook, reason or outcome.reason, outcome.facts)
        else:
            self._report_success(run.hook, run.last_line)

    def _report_success(self, hook: Hook, last_line: str) -> None:
        match hook:
            case Hook.VERSION:
                self.events.version_known(last_line)
            case Hook.CHECK:
                self.events.compatible()
            case Hook.DOWNLOAD:
                self.events.download_allowed()
            case Hook.INSTALL:
                self.events.installed()
            case Hook.RESTART:
                self.events.restarted()
            case Hook.READY:
                self.events.ready()
            case Hook.ROLLBACK:
                self.events.rolled_back(last_line == RESTART)
            case Hook.CLEANUP:
                self.events.cleaned()


def _is_port(runner: HookRunner) -> Hooks:
    return runner

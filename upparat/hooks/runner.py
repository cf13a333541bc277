"""The ``Hooks`` port: the owner's commands as child processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from upparat.config.settings import Hooks as HookSettings
from upparat.job import Hook, Job
from upparat.ports import STREAM, HookEvents, Hooks
from upparat.streaming import StreamProducer
from upparat.text import printable

from .child import Reactor
from .orphans import Orphans
from .pidfiles import Pidfiles
from .run import Call, HookRun, Journal, NoJournal

BURST = 64
"""Lines of one read that are told; of more only the last ones, so that a flood of output
costs little."""


class HookRunner:
    """Runs hooks one at a time; tells :class:`upparat.ports.HookEvents`.

    :param source: brings the file to an install hook that reads it from its stdin.
    :param agent: the agent's state directory, by which it knows its hooks in a later life.
    :param killpg: ``os.killpg``, or what stands for it in a test.
    """

    log = Logger()
    events: HookEvents

    def __init__(
        self,
        reactor: Reactor,
        settings: HookSettings,
        *,
        agent: str,
        source: StreamProducer | None = None,
        journal: Journal | None = None,
        pidfiles: Pidfiles | None = None,
        orphans: Orphans | None = None,
        killpg: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._agent = agent
        self._source = source
        self._journal = journal or NoJournal()
        self._pidfiles = pidfiles or Pidfiles(Path(agent))
        self._orphans = orphans or Orphans(
            reactor, agent, settings.timeouts, self._pidfiles, killpg=killpg
        )
        self._killpg = killpg
        self._run: HookRun | None = None
        self._afterwards: list[Callable[[], None]] = []
        self._closed = False

    def settle(self) -> Deferred[None]:
        """Fires when no hook of an earlier agent stands in the way, which can take as long as
        an installation."""
        return self._orphans.settle()

    def run(self, hook: Hook, job: Job, file: str = "") -> None:
        if self._closed:
            self.log.error("The {hook} hook was asked for after the stop", hook=hook.value)
        elif self._run is not None:
            self.log.error("The {hook} hook has to wait for another one", hook=hook.value)
            self._afterwards.append(lambda: self.run(hook, job, file))
            self._finish(self._run)
        else:
            run = self._run = self._make_run(Call(hook, job, file, agent=self._agent))
            run.start(self._orphans.gone() if run.delicate else succeed(None))

    def _make_run(self, call: Call) -> HookRun:
        kind: Callable[..., HookRun] = HookRun
        if self._source is not None and call.file == STREAM:
            from .streamed import StreamedRun  # few devices need it

            kind = partial(StreamedRun, self._source)
        return kind(
            self._reactor,
            self._settings,
            call,
            self._printed,
            self._over,
            self._journal,
            self._pidfiles,
            self._killpg,
        )

    def restart_lingers(self) -> bool:
        return self._orphans.lingers(Hook.RESTART)

    def release(self) -> None:
        if self._closed:
            return
        if self._run is None:
            self.events.released()
            return
        self._afterwards.append(self._released)
        self._finish(self._run)

    def shut_down(self) -> Deferred[None]:
        """End what runs, without any event; fires when nothing of it runs any more.

        A restart hook that is running is left alone and not waited for: it is what takes us down.
        """
        self._closed = True
        self._orphans.stop()
        run, self._run = self._run, None
        if run is None:
            return succeed(None)
        if run.hook is Hook.RESTART and run.leave():
            self._journal.left(run.job.key)
            return succeed(None)
        self._run = run
        ended: Deferred[None] = Deferred()
        self._afterwards.append(lambda: ended.callback(None))
        run.finish(kill=True)
        return ended

    def _finish(self, run: HookRun) -> None:
        run.finish(kill=not run.delicate or self._settings.kill_on_cancel)

    def _released(self) -> None:
        if not self._closed:
            self.events.released()

    # --- what a run tells ---

    def _printed(self, lines: Sequence[str]) -> None:
        if self._run is None:
            return
        told = [line for line in lines if line.strip()][-BURST:]
        if told:
            self._run.last_line = told[-1].strip()
        for line in filter(None, map(printable, told)):
            if self._run is not None:
                self._tell_line(self._run, line)

    def _tell_line(self, run: HookRun, line: str) -> None:
        self.log.debug(
            "{job_id}: {hook} hook: {line}",
            job_id=run.job.job_id,
            hook=run.hook.value,
            line=line,
        )
        if run.hook is Hook.INSTALL and not self._afterwards and not self._closed:
            self.events.install_output(line)

    def _over(self, message: str | None) -> None:
        run, self._run = self._run, None
        afterwards, self._afterwards = self._afterwards, []
        if run is None:
            return
        if message is not None:
            self._log_end(run, message)
            if not afterwards and not self._closed:
                self._tell(run, message)
        for call in afterwards:
            call()

    def _log_end(self, run: HookRun, problem: str) -> None:
        if problem:
            self.log.warn(
                "{job_id}: {hook} hook: {problem}",
                job_id=run.job.job_id,
                hook=run.hook.value,
                problem=problem,
            )
        else:
            self.log.info("{job_id}: {hook} hook done", job_id=run.job.job_id, hook=run.hook.value)

    def _tell(self, run: HookRun, message: str) -> None:
        if message:
            self.events.hook_failed(run.hook, message)
        elif run.hook is Hook.VERSION:
            self.events.version_known(run.last_line)
        elif run.hook is Hook.DOWNLOAD:
            self.events.download_allowed()
        elif run.hook is Hook.INSTALL:
            self.events.installed()
        elif run.hook is Hook.RESTART:
            self.events.restarted()
        else:
            self.events.ready()


def _is_port(runner: HookRunner) -> Hooks:
    return runner

"""A test case with a hook runner on a clock and child processes that only pretend."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution
from tests.support.processes import FakeAttempts, Listener, ProcessReactor
from upparat.config.settings import HookSettings
from upparat.hooks.orphans import Orphans
from upparat.hooks.pidfiles import HookGroup, PidfileEntry, Pidfiles
from upparat.hooks.runner import HookRunner
from upparat.job import Hook, Job

JOB = Job(execution("job"), version="2.0", file="https://s3/f?secret", meta="mäta", force=True)
TERM, KILL = signal.SIGTERM, signal.SIGKILL


class FakePidfiles(Pidfiles):
    """The process of each hook that has a pidfile."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.pids: dict[Hook, int] = {}

    def write(self, hook: Hook, pid: int) -> None:
        self.pids[hook] = pid

    def remove(self, hook: Hook) -> None:
        self.pids.pop(hook, None)

    def read(self) -> set[PidfileEntry]:
        return set()


class HookTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.settings = HookSettings(
            commands={hook: (f"/hooks/{hook.value}", "--flag") for hook in Hook},
            timeouts=dict.fromkeys(Hook, 100.0),
            retry_interval=10.0,
            max_retries=3,
        )
        self.listener = Listener()
        self.attempts = FakeAttempts()
        self.pidfiles = FakePidfiles()
        self.orphans: set[HookGroup] = set()
        self.way: Deferred[None] = succeed(None)
        self.make()

    def make(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)
        self.runner = HookRunner(
            self.reactor,  # type: ignore[arg-type]
            self.settings,
            agent="/state",
            attempts=self.attempts,
            pidfiles=self.pidfiles,
            orphans=Orphans(
                self.reactor,
                self.settings.timeouts,
                self.pidfiles,
                find=lambda *_: set(self.orphans),
                killpg=self.reactor.killpg,
            ),
            killpg=self.reactor.killpg,
            make_way=lambda: self.way,
        )
        self.runner.events = self.listener

    def run_hook(self, hook: Hook, job: Job = JOB, file: str = "") -> None:
        self.runner.run(hook, job, file)
        self.reactor.last.launched()

    def told(self) -> list[tuple[Any, ...]]:
        told, self.listener.told[:] = list(self.listener.told), []
        return told

    def prints(self, text: bytes, fd: int = 1) -> None:
        self.reactor.last.protocol.childDataReceived(fd, text)

    def assert_idle(self) -> None:
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def command(self) -> list[bytes]:
        """The last command line behind the launcher's."""
        argv = list(self.reactor.last.argv)
        return argv[argv.index(b"-c") + 2 :]

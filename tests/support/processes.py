"""Fakes for hooks: a reactor with child processes, a journal, a listener."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any, AnyStr

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import (
    IAddress,
    IProcessProtocol,
    IProcessTransport,
    IPushProducer,
    IReactorProcess,
    IReactorTime,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from upparat.hooks.journal import HookAttempts
from upparat.job import ExecutionKey, Hook
from upparat.ports import HookEvents


@implementer(IProcessTransport)
class FakeProcess:
    """A child whose pipes and end the test decides; ``signals`` went to it alone, not its group."""

    def __init__(
        self,
        reactor: ProcessReactor,
        pid: int,
        protocol: Any,
        argv: Sequence[bytes],
        env: Mapping[bytes, bytes],
        fds: Mapping[int, int | str],
    ) -> None:
        self.reactor = reactor
        self.pid: int | None = pid
        self.group = pid
        self.protocol = protocol
        self.argv = argv
        self.env = env
        self.open_fds = {fd for fd, kind in fds.items() if isinstance(kind, str)}
        self.reason: Failure | None = None
        self.signals: list[int] = []
        self.empty_stdin = False
        self.stdin = b""
        self.others: dict[int, bytes] = {}
        self.producer: IPushProducer | None = None

    # --- the test's side ---

    def launched(self) -> None:
        """The launcher made the session and is about to ``exec``."""
        self.reactor.groups.add(self.group)
        self.protocol.childDataReceived(3, b"+")

    def flushes(self) -> None:
        """What was written to stdin is in the pipe; or nobody reads it any more."""
        self.open_fds.discard(0)
        self.protocol.childConnectionLost(0)

    def exits(self, code: int = 0, signal: int | None = None) -> None:
        """The direct child is gone; its group lives on in ``reactor.groups`` until removed."""
        error = ProcessTerminated(code or None, signal, 0) if code or signal else ProcessDone(0)
        self.reason = Failure(error)
        self.pid = None
        self.protocol.processExited(self.reason)

    def closes(self) -> None:
        """All pipes reached their end."""
        self.open_fds.clear()
        self._maybe_ended()

    def ends(self, code: int = 0, signal: int | None = None) -> None:
        """Goes with its whole group and all pipes."""
        self.reactor.groups.discard(self.group)
        self.exits(code, signal)
        self.closes()

    def _maybe_ended(self) -> None:
        if self.reason and not self.open_fds and self.protocol:
            protocol, self.protocol = self.protocol, None
            protocol.processEnded(self.reason)

    # --- IProcessTransport ---

    def closeStdin(self) -> None:
        self.empty_stdin = True
        self.open_fds.discard(0)

    def closeStdout(self) -> None:
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        self.closeChildFD(2)

    def closeChildFD(self, descriptor: int) -> None:
        self.open_fds.discard(descriptor)
        self.reactor.callLater(0, self._maybe_ended)

    def loseConnection(self) -> None:
        for fd in range(3):
            self.closeChildFD(fd)

    def signalProcess(self, signalID: str | int) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(int(signalID))

    def writeToChild(self, childFD: int, data: bytes) -> None:
        if childFD not in self.open_fds:
            raise KeyError(childFD)
        self.others[childFD] = self.others.get(childFD, b"") + data

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.stdin += data

    def writeSequence(self, data: object) -> None:
        raise NotImplementedError

    def getHost(self) -> IAddress:
        raise NotImplementedError

    def getPeer(self) -> IAddress:
        raise NotImplementedError


@implementer(IReactorProcess, IReactorTime)
class ProcessReactor(Clock):
    """Spawns fakes; ``failures`` are raised instead, first one first. ``killpg`` stands for
    ``os.killpg``: it knows the groups in ``groups`` and appends to ``kills``."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.failures: list[OSError] = []
        self.groups: set[int] = set()
        self.kills: list[tuple[int, signal.Signals]] = []
        self.forbidden = False

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
        executable: bytes | str,
        args: Sequence[bytes | str] = (),
        env: Mapping[AnyStr, AnyStr] | None = None,
        path: bytes | str | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: bool = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> IProcessTransport:
        if self.failures:
            raise self.failures.pop(0)
        assert executable == args[0]
        pid = 1000 + len(self.processes)
        process = FakeProcess(self, pid, processProtocol, args, env or {}, childFDs or {})  # type: ignore
        self.processes.append(process)
        processProtocol.makeConnection(process)
        return process

    def killpg(self, group: int, number: int) -> None:
        if group not in self.groups:
            raise ProcessLookupError
        if self.forbidden:
            raise PermissionError
        if number:
            self.kills.append((group, signal.Signals(number)))

    @property
    def last(self) -> FakeProcess:
        return self.processes[-1]


class FakeAttempts:
    """Remembers nothing: ``before`` is the last attempt, ``calls`` what was noted."""

    def __init__(self) -> None:
        self.before: tuple[int, float] | None = None
        self.calls: list[tuple[Any, ...]] = []

    def last_attempt(self, key: ExecutionKey, hook: Hook) -> tuple[int, float] | None:
        return self.before

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        self.calls.append((hook, retry, elapsed))

    def waiting(self, key: ExecutionKey, hook: Hook) -> None:
        self.calls.append(("waiting", hook))

    def over(self, key: ExecutionKey, hook: Hook) -> None:
        self.calls.append(("over", hook))

    def left(self, key: ExecutionKey) -> None:
        self.calls.append(("left",))


class Listener:
    """Hears what hooks tell; ``told`` is one list in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.facts: dict[str, str] = {}

    def version_known(self, version: str) -> None:
        self.told.append(("version_known", version))

    def compatible(self) -> None:
        self.told.append(("compatible",))

    def rolled_back(self, restart: bool) -> None:
        self.told.append(("rolled_back", restart))

    def cleaned(self) -> None:
        self.told.append(("cleaned",))

    def download_allowed(self) -> None:
        self.told.append(("download_allowed",))

    def install_output(self, line: str) -> None:
        self.told.append(("install_output", line))

    def installed(self) -> None:
        self.told.append(("installed",))

    def restarted(self) -> None:
        self.told.append(("restarted",))

    def ready(self) -> None:
        self.told.append(("ready",))

    def hook_failed(self, hook: Hook, message: str, facts: Mapping[str, str]) -> None:
        self.told.append(("hook_failed", hook.value, message))
        self.facts = dict(facts)

    def released(self) -> None:
        self.told.append(("released",))


def _hears(listener: Listener) -> HookEvents:
    return listener


def _remembers(attempts: FakeAttempts) -> HookAttempts:
    return attempts

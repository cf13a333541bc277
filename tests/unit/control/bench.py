"""The bench of the control: an agent of fixed snapshots, clients, and the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from upparat.control.agent import Agent
from upparat.control.desk import Desk
from upparat.control.history import PastJob
from upparat.control.peer import Credentials
from upparat.control.server import ControlProtocol
from upparat.control.status import StatusBuilder
from upparat.job import Hook
from upparat.snapshots import (
    ConnectionSnapshot,
    DownloadSnapshot,
    HookSnapshot,
    JobSnapshot,
    Wait,
    WaitKind,
)

NOON = 1_800_000_000.0
"""2027-01-15 08:00:00 UTC"""

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "docs" / "control.schema.json").read_text(encoding="utf-8")
)

JOB = JobSnapshot(key("job-1", 3, 1_799_999_000), "2.0", True, 2000)
RUNNING = HookSnapshot(Hook.INSTALL, 2, 3600.0, seconds=12.34, remaining=3587.66)
RETRY = Wait(WaitKind.HOOK_RETRY, "the hook exited with 3", 42.0)
PAST = PastJob(
    "job-0", 1, 5, "1.9", "FAILED", "version_mismatch", "why", "2027-01-14T08:00:00+00:00"
)


def check(message: object, kind: str = "message") -> None:
    """Hold a message against the schema.

    :raises jsonschema.ValidationError: if it does not fit.
    """
    _validator(kind).validate(message)


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{kind}"}]})


class FakeDecisions:
    """Notes each decision; raises ``problem``, if there is one."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.problem: Exception | None = None

    def approve(self, step: str | None, job_id: str | None, uid: int, pid: int) -> str:
        return self._take("approve", step, job_id, uid, pid)

    def defer(self, job_id: str | None, seconds: float, uid: int, pid: int) -> str:
        return self._take("defer", job_id, seconds, uid, pid)

    def pause(self, seconds: float | None, uid: int, pid: int) -> str:
        return self._take("pause", seconds, uid, pid)

    def resume(self, uid: int, pid: int) -> str:
        return self._take("resume", uid, pid)

    def _take(self, *call: object) -> str:
        if self.problem is not None:
            raise self.problem
        self.calls.append(call)
        return f"done: {call[0]}"


class FakeInstalls:
    """Notes each order; raises ``problem``, if there is one."""

    def __init__(self) -> None:
        self.orders: list[tuple[object, ...]] = []
        self.problem: Exception | None = None

    def install(self, path: str, offset: int, document: dict[str, Any], uid: int, pid: int) -> str:
        if self.problem is not None:
            raise self.problem
        self.orders.append((path, offset, document, uid, pid))
        return "local@1"


class FakeAgent:
    """What the status is made of."""

    def __init__(self) -> None:
        self.state = "monitor"
        self.connection = ConnectionSnapshot(seconds=60.0)
        self.job: JobSnapshot | None = None
        self.pause: Wait | None = None
        self.download: DownloadSnapshot | None = None
        self.hook: HookSnapshot | None = None
        self.policy: Wait | None = None
        self.decisions = FakeDecisions()
        self.turn: Wait | None = None
        self.install: str | None = None
        self.installs = FakeInstalls()
        self.history: tuple[PastJob, ...] = ()
        self.now = NOON

    def agent(self, downloads: Path = Path("/nowhere/downloads")) -> Agent:
        return Agent(
            version="2.0.0",
            thing="device-1",
            host="broker",
            port=8883,
            downloads=downloads,
            state=lambda: self.state,
            connection=lambda: self.connection,
            job=lambda: self.job,
            pause=lambda: self.pause,
            download=lambda: self.download,
            hook=lambda: self.hook,
            policy=lambda: self.policy,
            decisions=self.decisions,
            turn=lambda: self.turn,
            install=lambda: self.install,
            installs=self.installs,
        )

    def builder(self, downloads: Path = Path("/nowhere/downloads")) -> StatusBuilder:
        return StatusBuilder(self.agent(downloads), lambda: self.history, lambda: self.now)


class FakeLogs:
    """The logs of jobs."""

    def __init__(self) -> None:
        self.texts = {"job-1": "one\ntwo\n"}
        self.listeners: list[Callable[[str], None]] = []

    def read(self, job_id: str | None) -> str:
        return self.texts["job-1" if job_id is None else job_id]

    def subscribe(self, on_line: Callable[[str], None]) -> Callable[[], None]:
        self.listeners.append(on_line)
        return lambda: self.listeners.remove(on_line)


class FakeTransport(StringTransport):
    """A transport whose peer may stop to read."""

    aborted = False
    producer: Any

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True


class Peer:
    """One client of the control socket."""

    def __init__(self, protocol: ControlProtocol) -> None:
        self.protocol = protocol
        self.transport = FakeTransport()
        self.protocol.makeConnection(self.transport)

    def sends(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def asks(self, request: str, **more: object) -> list[dict[str, Any]]:
        self.sends(json.dumps({"protocol": 1, "request": request, **more}).encode() + b"\n")
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        """The messages since the last time; each fits the schema."""
        lines = self.transport.value().splitlines()
        self.transport.clear()
        messages = [json.loads(line) for line in lines]
        for message in messages:
            check(message)
        return messages

    @property
    def closed(self) -> bool:
        """Whether the agent has ended the connection."""
        return self.transport.disconnecting

    @property
    def dropped(self) -> bool:
        """Whether the agent has ended the connection at once."""
        return self.transport.aborted

    def stops_reading(self) -> None:
        self.transport.producer.pauseProducing()

    def reads_on(self) -> None:
        self.transport.producer.resumeProducing()

    def leaves(self) -> None:
        self.protocol.connectionLost()


class ControlBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = FakeAgent()
        self.logs = FakeLogs()
        self.connected = True
        self.checks = 0
        self.desk = Desk(
            self.clock,
            self.agent.builder(),
            self.check_now,
            self.logs,
            self.agent.decisions,
            self.agent.installs,
        )

    def check_now(self) -> bool:
        self.checks += self.connected
        return self.connected

    def peer(self) -> Peer:
        return Peer(ControlProtocol(self.desk, lambda transport: Credentials(7, 1000, 100)))

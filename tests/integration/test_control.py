"""The control socket on the real reactor: long answers, and clients that leave or do not read."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.support.reactor import reactor, until
from tests.unit.control.bench import FakeAgent, FakeLogs
from upparat.config.settings import ControlSettings
from upparat.control import server
from upparat.control.client import ControlConnection
from upparat.control.outbox import MAX_WAITING
from upparat.control.protocol import ControlRequest, RequestKind, encode
from upparat.control.service import ControlService

LINES = 20_000
LINE = "x" * 100


class World:
    """A control socket, and the logs that it serves: 2 MB of one job."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "control.sock"
        self.agent = FakeAgent()
        self.logs = FakeLogs()
        self.logs.texts["job-1"] = f"{LINE}\n" * LINES
        self.service = ControlService(
            reactor,
            ControlSettings(socket=self.path),
            self.agent.agent,
            lambda: True,
            directory / "state",
            self.logs,
        )

    @property
    def clients(self) -> int:
        desk = self.service._desk
        return len(desk.clients) if desk is not None else 0

    def ask(self, request: ControlRequest) -> socket.socket:
        """Send a request; nobody reads the answer."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.path))
        client.sendall(encode(request.message()))
        return client


@asynccontextmanager
async def serving() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory() as directory:  # its path is short enough for a socket
        world = World(Path(directory))
        world.service.startService()
        yield world
        await world.service.stopService()
        await until(lambda: world.clients == 0)
        assert not world.path.exists()


@pytest_twisted.ensureDeferred
async def test_a_long_log() -> None:
    def read(path: Path) -> list[str]:
        with ControlConnection(path, ControlRequest(RequestKind.LOG, "job-1")) as connection:
            return [message["line"] for message in connection.messages()]

    async with serving() as world:
        assert await deferToThread(read, world.path) == [LINE] * LINES


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_in_the_midst_of_a_long_log() -> None:
    async with serving() as world:
        client = world.ask(ControlRequest(RequestKind.LOG, "job-1"))
        await until(lambda: world.clients == 1)
        client.close()
        await until(lambda: world.clients == 0)


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_a_long_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.1)
    async with serving() as world:
        with world.ask(ControlRequest(RequestKind.LOG, "job-1")):
            await until(lambda: world.clients == 1)
            await until(lambda: world.clients == 0)


@pytest_twisted.ensureDeferred
async def test_a_follower_of_a_log_that_does_not_read() -> None:
    async with serving() as world:
        with world.ask(ControlRequest(RequestKind.LOG, "job-1", follow=True)):
            await until(lambda: world.logs.listeners)
            [tell] = world.logs.listeners
            for _ in range(MAX_WAITING // len(LINE)):
                tell(LINE)
            await until(lambda: world.clients == 0)
            assert world.logs.listeners == []

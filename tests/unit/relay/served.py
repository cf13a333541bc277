"""A server of the relay without a network, and a hook that writes HTTP by hand."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tests.unit.control.bench import FakeTransport
from tests.unit.relay.bench import RelayBench
from upparat.relay.channel import RelayChannel, RelayFactory
from upparat.relay.server import RelayServer


class FakeHook:
    """One connection of the hook."""

    def __init__(self, factory: RelayFactory) -> None:
        protocol = factory.buildProtocol(None)
        self.refused = protocol is None
        if isinstance(protocol, RelayChannel):
            self.protocol = protocol
            self.transport = FakeTransport()
            protocol.makeConnection(self.transport)

    def sends(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def asks(self, url: str, method: str = "GET", host: str = "", **headers: str) -> FakeHook:
        _, _, rest = url.partition("://")
        place, _, path = rest.partition("/")
        named = {"Host": host or place, **headers}
        lines = [f"{method} /{path} HTTP/1.1", *(f"{name}: {named[name]}" for name in named)]
        self.sends("\r\n".join([*lines, "", ""]).encode())
        return self

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The code, the headers by lower-case names, and the body of what has come."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.transport.clear()
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def code(self) -> int:
        return self.answer()[0]

    @property
    def dropped(self) -> bool:
        return self.transport.aborted


class ServedBench(RelayBench):
    """A server of a file whose answers are scripted."""

    def new(self) -> None:
        super().new()
        self.memory = MemoryReactorClock()
        self.passed: list[tuple[int, int]] = []
        self.server = RelayServer(
            self.memory,  # type: ignore[arg-type]
            self.file,
            lambda begin, end: self.passed.append((begin, end)),
        )

    @property
    def factory(self) -> RelayFactory:
        factory = self.memory.tcpServers[0][1]
        assert isinstance(factory, RelayFactory)
        return factory

    def hook(self) -> FakeHook:
        return FakeHook(self.factory)

    def asks(self, method: str = "GET", host: str = "", **headers: str) -> FakeHook:
        return self.hook().asks(self.server.url, method, host, **headers)

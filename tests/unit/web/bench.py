"""The bench of the page: the server without a network, and clients that write HTTP by hand."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.unit.control.bench import ControlBench, FakeTransport
from upparat.config.address import ListenAddress
from upparat.metrics.exposition import Metrics
from upparat.metrics.tally import Tally
from upparat.web.answers import Answers
from upparat.web.channel import PageChannel, PageFactory

ADDRESS = ListenAddress("127.0.0.1", 9110)


class Client:
    """One connection to the page."""

    def __init__(self, factory: PageFactory, arrived: str = "127.0.0.1") -> None:
        protocol = factory.buildProtocol(None)
        self.refused = protocol is None
        if isinstance(protocol, PageChannel):
            self.protocol = protocol
            self.transport = FakeTransport(hostAddress=IPv4Address("TCP", arrived, 9110))
            self.protocol.makeConnection(self.transport)

    def sends(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def asks(
        self, path: str = "/", method: str = "GET", host: str | None = "localhost:9110", **more: str
    ) -> Client:
        """Send a request; ``more`` are its other headers."""
        headers = {**({} if host is None else {"Host": host}), **more}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        self.sends("\r\n".join([*lines, "", ""]).encode())
        return self

    def heard(self) -> bytes:
        """What has come since the last time."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The code, the headers by lower-case names, and the body of the answer."""
        head, _, body = self.heard().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body

    @property
    def code(self) -> int:
        return self.answer()[0]

    @property
    def json(self) -> Any:
        return json.loads(self.answer()[2])

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
        self.protocol.connectionLost(Failure(ConnectionDone()))


class WebBench(ControlBench):
    """An agent of fixed snapshots, and its page."""

    address = ADDRESS

    def setUp(self) -> None:
        super().setUp()
        tally = Tally(self.clock.seconds, "monitor")
        self.metrics = Metrics(self.agent.agent(), tally, lambda: 0)
        answers = Answers(self.address, self.desk, self.metrics)
        self.factory = PageFactory(self.clock, answers.answer)

    def client(self, arrived: str = "127.0.0.1") -> Client:
        return Client(self.factory, arrived)

"""The server of the control socket. A client asks one thing, and does the agent no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from upparat.oneshot import OneShot

from .desk import Desk, DeskClient
from .outbox import Outbox
from .peer import Credentials, credentials
from .protocol import (
    MAX_REQUEST,
    ControlRequest,
    ErrorCode,
    Message,
    RequestKind,
    RequestRefused,
    encode,
    end,
    log_line,
    parse_request,
    refusal,
)

_DECISIONS = (RequestKind.APPROVE, RequestKind.DEFER, RequestKind.PAUSE, RequestKind.RESUME)

REQUEST_TIMEOUT = 10.0
"""Seconds for a client to send its request, and to read an answer that has an end."""


class ControlProtocol(LineOnlyReceiver):
    """One client: one request, and its answer.

    :param who: returns who is at the other end of a connection.
    """

    log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = MAX_REQUEST
    transport: ITransport

    def __init__(self, desk: Desk, who: Callable[[ITransport], Credentials] = credentials) -> None:
        self._desk = desk
        self._who = who
        self._asked = False
        self._surplus = 0
        self._patience = OneShot(desk.clock)
        self._unsubscribe: Callable[[], None] = lambda: None

    def connectionMade(self) -> None:
        self._outbox = Outbox(self.transport, self.drop)
        if self._desk.full:
            self._asked = True
            self._refuse(RequestRefused(ErrorCode.BUSY, "too many clients ask the agent"))
            return
        self._desk.clients.add(self)
        self._patience.start(REQUEST_TIMEOUT, self.drop)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._patience.cancel()
        self._unsubscribe()
        self._desk.left(self)

    def dataReceived(self, data: bytes) -> None:
        """Take the request. What comes behind it is ignored, but not for ever."""
        if not self._asked:
            super().dataReceived(data)
            return
        self._surplus += len(data)
        if self._surplus > MAX_REQUEST:
            self.drop()

    def lineReceived(self, line: bytes) -> None:
        if self._asked:
            return
        self._asked = True
        try:
            self._answer(parse_request(line))
        except RequestRefused as refused:
            self._refuse(refused)
        except Exception:
            self.log.failure("A request on the control socket cannot be answered")
            self._refuse(RequestRefused(ErrorCode.FAILED, "the agent cannot answer: see its log"))

    def lineLengthExceeded(self, line: bytes) -> None:
        self._asked = True
        problem = f"the request is longer than {MAX_REQUEST} bytes"
        self._refuse(RequestRefused(ErrorCode.BAD_REQUEST, problem))

    # --- answers ---

    def send(self, message: Message) -> None:
        """Send a message, now or as soon as the client reads."""
        self._outbox.send(encode(message))

    def send_status(self, message: Message) -> None:
        """Send a newer status. A client that has not read the last one gets the next one."""
        if self._outbox.idle:
            self._patience.cancel()
            self.send(message)
        elif not self._patience.running:
            self._patience.start(REQUEST_TIMEOUT, self.drop)

    def _answer(self, request: ControlRequest) -> None:
        if request.kind is RequestKind.FOLLOW:
            self._patience.cancel()
            self._desk.follow(self)
        elif request.kind is RequestKind.LOG:
            self._send_log(request)
        elif request.kind in _DECISIONS:
            self.send(self._desk.decide(request, self._who(self.transport)))
            self._outbox.finish()
        elif request.kind is RequestKind.INSTALL:
            self.send(self._desk.install(request, self._who(self.transport)))
            self._outbox.finish()
        else:
            self.send(self._told(request.kind))
            self._outbox.finish()

    def _told(self, kind: RequestKind) -> Message:
        match kind:
            case RequestKind.STATUS:
                return self._desk.status()
            case RequestKind.HISTORY:
                return self._desk.history()
        return self._desk.check()

    def _send_log(self, request: ControlRequest) -> None:
        logs = self._desk.logs
        if logs is None:
            raise RequestRefused(ErrorCode.NO_LOGS, "the agent keeps no logs of jobs")
        try:
            text = logs.read(request.job)
        except LookupError:
            job = f"job {request.job}" if request.job is not None else "any job"
            raise RequestRefused(ErrorCode.UNKNOWN_JOB, f"there is no log of {job}") from None
        if request.follow:
            self._patience.cancel()
            self._unsubscribe = logs.subscribe(lambda line: self.send(log_line(line)))
            self._outbox.answer(_lines(text))
        else:
            self._outbox.answer(chain(_lines(text), [encode(end())]))
            self._outbox.finish()

    def _refuse(self, refused: RequestRefused) -> None:
        self.send(refusal(refused))
        self._outbox.finish()

    def drop(self) -> None:
        """Close at once: the client neither asks nor reads."""
        self.transport.abortConnection()  # type: ignore[attr-defined]


def _lines(text: str) -> Iterator[bytes]:
    return (encode(log_line(line)) for line in text.splitlines())


def _is_a_client(client: ControlProtocol) -> DeskClient:
    return client

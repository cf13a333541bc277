"""The desk that all clients of the control socket ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from upparat.oneshot import OneShot

from .agent import Decisions, Installs
from .peer import Credentials
from .protocol import (
    ControlRequest,
    ErrorCode,
    Message,
    RequestKind,
    RequestRefused,
    accepted,
    checking,
    decision,
)
from .status import StatusBuilder, steady

MAX_CLIENTS = 16
"""Clients at once; others are refused."""

FOLLOW_INTERVAL = 0.25
"""Seconds between two looks for a change, while somebody follows."""

REFRESH_INTERVAL = 5.0
"""Seconds after which a follower gets the status although nothing has changed."""

CHECK_INTERVAL = 2.0
"""Seconds within which one request to AWS for the jobs answers every client."""


class DeskClient(Protocol):
    """A client, as the desk sees it."""

    def send(self, message: Message) -> None:
        """Send a message, now or as soon as the client reads."""

    def send_status(self, message: Message) -> None:
        """Send a newer status, unless the client has not read the last one."""

    def drop(self) -> None:
        """Close the connection at once."""


class JobLogReader(Protocol):
    """The logs of the jobs."""

    def read(self, job_id: str | None) -> str:
        """Return the log of a job; without an id, that of the last one.

        :raises LookupError: if there is none.
        """

    def subscribe(self, on_line: Callable[[str], None]) -> Callable[[], None]:
        """Call ``on_line`` with each line from now on. Returns a function that ends this."""


class Desk:
    """Answers requests; the clients of one socket share it.

    :param check_now: asks AWS for the jobs; returns ``False`` if there is no connection.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        status: StatusBuilder,
        check_now: Callable[[], bool],
        logs: JobLogReader | None,
        decisions: Decisions,
        installs: Installs,
    ) -> None:
        self.clock = clock
        self._decisions = decisions
        self._installs = installs
        self.logs = logs
        self.clients: set[DeskClient] = set()
        self._status = status
        self._check_now = check_now
        self._checked = -CHECK_INTERVAL
        self._followers: set[DeskClient] = set()
        self._look = OneShot(clock)
        self._last: object = None
        self._last_time = 0.0

    def drop_all(self) -> None:
        """Close the connections of all clients."""
        for client in list(self.clients):
            client.drop()

    @property
    def full(self) -> bool:
        return len(self.clients) >= MAX_CLIENTS

    def status(self) -> Message:
        """Return the status of now."""
        return self._status.build()

    def history(self) -> Message:
        """Return the jobs that are over."""
        return self._status.history()

    def check(self) -> Message:
        """Ask AWS for the jobs.

        :raises RequestRefused: if there is no connection.
        """
        now = self.clock.seconds()
        if now - self._checked >= CHECK_INTERVAL:
            if not self._check_now():
                raise RequestRefused(ErrorCode.NOT_CONNECTED, "the agent is not connected")
            self._checked = now
        return checking()

    def decide(self, request: ControlRequest, who: Credentials) -> Message:
        """Take a decision.

        :raises RequestRefused: if it makes no sense, or this user may not decide.
        """
        try:
            return decision(self._decided(request, who))
        except PermissionError as error:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, str(error)) from None
        except LookupError as error:
            raise RequestRefused(ErrorCode.NOT_IN_HAND, str(error.args[0])) from None
        except ValueError as error:
            raise RequestRefused(ErrorCode.BAD_REQUEST, str(error)) from None

    def _decided(self, request: ControlRequest, who: Credentials) -> str:
        user = who.uid, who.pid
        match request.kind:
            case RequestKind.APPROVE:
                return self._decisions.approve(request.step, request.job, *user)
            case RequestKind.PAUSE:
                return self._decisions.pause(request.seconds, *user)
            case RequestKind.RESUME:
                return self._decisions.resume(*user)
        if request.seconds is None:
            raise ValueError("seconds: must be more than 0")
        return self._decisions.defer(request.job, request.seconds, *user)

    def install(self, request: ControlRequest, who: Credentials) -> Message:
        """Take an order for an install by hand.

        :raises RequestRefused: if it makes no sense, or cannot be taken now.
        """
        order = request.order
        if order is None:
            raise RequestRefused(ErrorCode.BAD_REQUEST, "path: is missing")
        content = order.path, order.offset, order.document
        try:
            return accepted(self._installs.install(*content, who.uid, who.pid))
        except PermissionError as error:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, str(error)) from None
        except ValueError as error:
            raise RequestRefused(ErrorCode.BAD_REQUEST, str(error)) from None
        except RuntimeError as error:
            raise RequestRefused(ErrorCode.BUSY, str(error)) from None

    def follow(self, client: DeskClient) -> None:
        """Send this client the status now and at each change."""
        message = self.status()
        client.send(message)
        if not self._followers:
            self._remember(message)
            self._look.start(FOLLOW_INTERVAL, self._look_for_change)
        self._followers.add(client)

    def left(self, client: DeskClient) -> None:
        """Forget a client."""
        self.clients.discard(client)
        self._followers.discard(client)
        if not self._followers:
            self._look.cancel()

    def _look_for_change(self) -> None:
        try:
            self._tell_change(self.status())
        except Exception:
            self.log.failure("The status cannot be made")
            for client in list(self._followers):
                client.drop()
        else:
            self._look.start(FOLLOW_INTERVAL, self._look_for_change)

    def _tell_change(self, message: Message) -> None:
        quiet = self.clock.seconds() - self._last_time < REFRESH_INTERVAL
        if quiet and steady(message) == self._last:
            return
        self._remember(message)
        for client in list(self._followers):
            client.send_status(message)

    def _remember(self, message: Message) -> None:
        self._last, self._last_time = steady(message), self.clock.seconds()

"""MQTT: keeps a connection to the broker for as long as the service runs."""

from __future__ import annotations

import random as _random
import socket
from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.backoff import Backoff
from upparat.config.settings import BrokerSettings
from upparat.oneshot import OneShot
from upparat.snapshots import ConnectionSnapshot

from .connection import Connection, ConnectionListener, ConnectionReactor
from .dial import Abandoned, Dial
from .session import MqttSession, MqttSessionEvents, SubscribeError


class MqttReactor(ConnectionReactor, IReactorFromThreads):
    """The interfaces of the reactor that the service needs."""


class MqttService(Service):
    """Connects, and connects again after each loss, for as long as the service runs.

    Sessions are clean (MQTT 3.1.1), so the user subscribes again after every ``connected``. Only a
    connection that stood for ``backoff.stable`` seconds resets the back-off, because AWS accepts a
    client and disconnects it again for each message that its policy forbids.

    :param random: returns a number from 0 up to 1, for the jitter of the back-off.
    :param dial: makes one attempt to open the socket.
    """

    log = Logger()
    events: MqttSessionEvents

    def __init__(
        self,
        reactor: MqttReactor,
        broker: BrokerSettings,
        *,
        random: Callable[[], float] = _random.random,
        backoff: Backoff = Backoff(),  # noqa: B008 (it is frozen)
        dial: Callable[[IReactorFromThreads, BrokerSettings], Dial] = Dial,
    ) -> None:
        self._reactor = reactor
        self._broker = broker
        self._random = random
        self._backoff = backoff
        self._make_dial = dial
        self._attempts = 0
        self._online = False
        self._online_since: float | None = None
        self._problem = ""
        self._retry = OneShot(reactor)
        self._deadline = OneShot(reactor)
        self._dial: Dial | None = None
        self._connection: Connection | None = None
        self._stopped: Deferred[None] | None = None

    # --- the service ---

    def startService(self) -> None:
        super().startService()
        self._attempts = 0
        self._online_since = None
        self._attempt()

    def stopService(self) -> Deferred[None]:
        """Disconnect.

        The Deferred fires when DISCONNECT has left, the socket is closed and no call is delayed
        any more.
        """
        super().stopService()
        self._cancel_timers()
        if self._connection is not None:
            stopped = self._stopped = Deferred()
            self._go_offline("stopped")
            self._connection.disconnect("stopped")
            return stopped
        if self._dial is not None and self._dial.abandon():
            self._stopped = Deferred()
            return self._stopped
        self._dial = None
        return succeed(None)

    # --- the session ---

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.usable

    def snapshot(self) -> ConnectionSnapshot:
        """Return since when the connection stands, or why it does not."""
        if self.connected and self._online_since is not None:
            return ConnectionSnapshot(seconds=self._reactor.seconds() - self._online_since)
        return ConnectionSnapshot(problem=self._problem, retry=self._retry.remaining)

    def publish(self, topic: str, payload: bytes) -> bool:
        return self._connection is not None and self._connection.publish(topic, payload)

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        if self._connection is None or not self._connection.usable:
            return fail(SubscribeError("there is no connection"))
        return self._connection.subscribe(filters)

    def disconnect_and_retry(self, reason: str) -> None:
        if self._connection is not None and self._connection.usable:
            self._go_offline(reason)
            self._connection.disconnect(reason)

    # --- from nothing to a connection ---

    def _attempt(self) -> None:
        self._deadline.start(self._broker.connect_timeout, self._timed_out)
        self._dial = dial = self._make_dial(self._reactor, self._broker)
        dialled = dial.start()
        dialled.addCallbacks(self._dialled, self._not_dialled, errbackArgs=(dial,))
        dialled.addErrback(self._broken)

    def _dialled(self, opened: socket.socket) -> None:
        self._dial = None
        self._connection = Connection(self._reactor, self._broker, opened, self)
        self._connection.start()

    def _not_dialled(self, failure: Failure, dial: Dial) -> None:
        if self._dial is dial:
            self._dial = None
            late = failure.check(Abandoned)
            self._down(self._too_late if late else failure.getErrorMessage())

    def _broken(self, failure: Failure) -> None:
        self.log.failure("The connection cannot be set up", failure)
        if self._connection is not None:
            self._connection.abort(failure.getErrorMessage())

    @property
    def _too_late(self) -> str:
        return f"no connection within {self._broker.connect_timeout:g} s"

    def _timed_out(self) -> None:
        if self._connection is not None:
            self._connection.abort(self._too_late)
        elif self._dial is not None:
            # `_not_dialled` makes the next attempt, when the thread of this one has ended.
            self._dial.abandon()

    # --- the listener of a connection ---

    def accepted(self) -> None:
        self._cancel_timers()
        self._online = True
        self._online_since = self._reactor.seconds()
        self.log.info("Connected to {host}:{port}", host=self._broker.host, port=self._broker.port)
        self._notify(self.events.connected)

    def received(self, topic: str, payload: bytes) -> None:
        self._notify(self.events.received, topic, payload)

    def lost(self, reason: str) -> None:
        self._connection = None
        self._go_offline(reason)
        self._down(reason)

    # --- and back to nothing ---

    def _go_offline(self, reason: str) -> None:
        if self._online:
            self._online = False
            self._problem = reason
            self._notify(self.events.disconnected, reason)

    def _down(self, reason: str) -> None:
        """Connect again later, or end the service; nothing of the last attempt is left."""
        self._cancel_timers()
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            self.log.info("Disconnected from {host}", host=self._broker.host)
            stopped.callback(None)
        elif self.running:
            self._try_later(reason)

    def _try_later(self, reason: str) -> None:
        since, self._online_since = self._online_since, None
        if since is not None and self._reactor.seconds() - since >= self._backoff.stable:
            self._attempts = 0
        self._attempts += 1
        self._problem = reason
        delay = self._backoff.delay(self._attempts, self._random)
        self._retry.start(delay, self._attempt)
        self.log.warn(
            "{host}:{port}: {reason}; connecting again in {delay:.1f} s",
            host=self._broker.host,
            port=self._broker.port,
            reason=reason,
            delay=delay,
        )

    def _cancel_timers(self) -> None:
        self._retry.cancel()
        self._deadline.cancel()

    def _notify(self, event: Callable[..., None], *details: object) -> None:
        try:
            event(*details)
        except Exception:
            self.log.failure("An event of the connection has raised")


def _is_a_session(service: MqttService) -> MqttSession:
    return service


def _is_a_listener(service: MqttService) -> ConnectionListener:
    return service

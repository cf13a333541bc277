"""The thing's reserved named shadow ``$package``, over MQTT."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from upparat.iotjobs.requests import Requests, Response
from upparat.iotjobs.wire import Malformed, decode
from upparat.mqtt.session import MqttSession, MqttSessionEvents, SubscribeError

SUBACK_TIMEOUT = 30.0
"""Seconds that the broker may take to grant the subscription."""

MAX_ATTEMPTS = 5
"""Attempts at an update without an answer, in about 5 minutes. More would ask for another
connection, which the jobs need more."""

MAX_LOST = 3
"""Connections in a row that may be lost while AWS owes an answer. A policy that forbids the topics
makes AWS close the connection."""

PAUSE = 6 * 3600.0
"""Seconds without an update after so many lost connections."""

TEMPORARY = frozenset({"429", "500", "503"})
"""Codes of a rejected update that may succeed later, as it is."""

NOT_SUBSCRIBED = "NotSubscribed"
"""The code of an update that was not sent: the broker does not grant the topics of its answers."""


def update_topic(thing_name: str) -> str:
    """The topic of updates of a thing's shadow."""
    return f"$aws/things/{thing_name}/shadow/name/$package/update"


def response_topics(thing_name: str) -> tuple[str, str]:
    """The topics of the two answers; the others below the update's are for other readers."""
    topic = update_topic(thing_name)
    return f"{topic}/accepted", f"{topic}/rejected"


class Shadow:
    """Sends one update at a time.

    It subscribes only when there is something to send. If the connection is lost meanwhile again
    and again, it leaves the connection to the jobs.

    :param random: returns a number from 0 up to 1, for the jitter of all waits.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        session: MqttSession,
        thing_name: str,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._clock = clock
        self._session = session
        self._topic = update_topic(thing_name)
        self._filters = response_topics(thing_name)
        self._requests = Requests(clock, session, random, TEMPORARY)
        self._connected = self._subscribed = False
        self._update: Deferred[Response] | None = None
        self._lost = 0
        self._silent_until = 0.0

    @property
    def usable(self) -> bool:
        """Whether there is a connection that may be used for an update."""
        return self._connected and self._clock.seconds() >= self._silent_until

    def update(self, payload: Mapping[str, object]) -> Deferred[Response]:
        """Send an update. The Deferred fires with the response, whose code is a number as text,
        ``NoResponse`` or :data:`NOT_SUBSCRIBED`. It is cancelled when the connection is lost."""
        update = self._update = Deferred.fromCoroutine(self._send(payload))
        return update.addBoth(self._over)

    def close(self) -> None:
        """Cancel what is under way."""
        self._cancel()
        self._requests.close()

    # --- MqttSessionEvents ---

    def connected(self) -> None:
        self._connected = True

    def disconnected(self, reason: str) -> None:
        self._connected = self._subscribed = False
        if self._update is not None:
            self._suspect()
            self._cancel()

    def received(self, topic: str, payload: bytes) -> None:
        if topic not in self._filters:
            return
        request, _, verdict = topic.rpartition("/")
        try:
            message = decode(payload)
        except Malformed as malformed:
            self.log.warn("{topic}: {problem}", topic=topic, problem=str(malformed))
            self._requests.unreadable(request)
        else:
            code = {"code": str(message["code"])} if "code" in message else {}  # a number
            self._requests.answered(request, verdict == "accepted", {**message, **code})

    # --- one update ---

    async def _send(self, payload: Mapping[str, object]) -> Response:
        try:
            await self._subscribe()
        except (SubscribeError, TimeoutError) as error:
            if self._session.connected:
                return Response({"message": str(error)}, NOT_SUBSCRIBED)
            self._suspect()  # a subscription fails before its connection is reported as lost
            raise CancelledError from None
        response = await self._requests.send(self._topic, payload, MAX_ATTEMPTS)
        self._lost = 0
        return response

    async def _subscribe(self) -> None:
        """Subscribe to the answers, once for each connection."""
        if not self._subscribed:
            granted = self._session.subscribe(self._filters)
            await granted.addTimeout(SUBACK_TIMEOUT, self._clock)
            self._subscribed = True
            self._requests.session_ready()

    def _over(self, result: Response) -> Response:
        self._update = None
        return result

    def _cancel(self) -> None:
        if self._update is not None:
            self._update.cancel()

    def _suspect(self) -> None:
        """Leave the connection to the jobs, if AWS seems to close it because of the shadow."""
        self._lost += 1
        if self._lost >= MAX_LOST:
            self._lost = 0
            self._silent_until = self._clock.seconds() + PAUSE
            self.log.error(
                "The connection was lost {count} times during the report of the package. The "
                "policy may forbid {topic}. The next report is in {hours:g} hours at the earliest",
                count=MAX_LOST,
                topic=self._topic,
                hours=PAUSE / 3600,
            )


def _is_session_listener(shadow: Shadow) -> MqttSessionEvents:
    return shadow

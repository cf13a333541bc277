"""Requests over MQTT that are repeated until AWS answers them."""

from __future__ import annotations

import math
import random as _random
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from upparat.backoff import Backoff
from upparat.mqtt.session import MqttSession
from upparat.oneshot import OneShot

from .wire import encode

TEMPORARY = frozenset({"RequestThrottled", "InternalError"})
"""Codes of a rejected request to AWS IoT Jobs that may succeed later, as it is."""

RESPONSE_TIMEOUT = Backoff(base=10.0, cap=120.0)
"""Seconds to wait for a response; it may be lost although PUBACK came for the request."""

TEMPORARY_RETRY = Backoff(base=2.0, cap=64.0)
"""Seconds to wait after a temporary rejection, besides the one that is always waited."""

MAX_UNREADABLE = 3
"""Attempts at a request after which an unreadable response counts as its response."""

ATTEMPTS_PER_CONNECTION = 8
"""Attempts at a request without a response, in 10 minutes, before another connection is asked for:
this one may have lost its subscriptions."""


SESSION_LOST = "SessionLost"
"""The code of a request that was not to outlive its session."""


@dataclass
class Response:
    """The response of AWS to a request.

    :ivar code: why AWS rejects the request; empty if it accepts.
    """

    payload: Mapping[str, object]
    code: str = ""

    @property
    def accepted(self) -> bool:
        return not self.code


@dataclass
class _PendingRequest:
    topic: str
    payload: dict[str, object] = field(repr=False)
    response: Deferred[Response]
    timer: OneShot
    max_attempts: float
    one_session: bool
    attempts: int = 0


class Requests:
    """The requests that wait for a response.

    All attempts of one request carry the same client token, so that a late response to an early
    attempt counts as well.

    :param random: returns a number from 0 up to 1, for the jitter of the waits.
    :param temporary: codes of a rejected request that is repeated as it is.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        session: MqttSession,
        random: Callable[[], float] = _random.random,
        temporary: Collection[str] = TEMPORARY,
    ) -> None:
        self._clock = clock
        self._session = session
        self._random = random
        self._temporary = temporary
        self._ready = False
        self._sessions = 0
        self._pending: dict[str, _PendingRequest] = {}

    @property
    def ready(self) -> bool:
        """Whether the subscriptions for responses stand."""
        return self._ready

    @property
    def session(self) -> int:
        """The number of the session that stands; 0 if none does."""
        return self._sessions if self._ready else 0

    def send(
        self,
        topic: str,
        payload: Mapping[str, object],
        max_attempts: float = math.inf,
        *,
        one_session: bool = False,
    ) -> Deferred[Response]:
        """Publish a request until there is a response, now and after every reconnection.

        The Deferred fires with the response, accepted or rejected. Throttling and internal errors
        of AWS are retried here. Cancel the Deferred to forget the request.

        :param max_attempts: after so many attempts a temporary rejection counts as well, and so
            does a missing response, with the code ``NoResponse``.
        :param one_session: the end of the session ends the request as well, with the code
            :data:`SESSION_LOST`.
        """
        token = secrets.token_hex(8)
        request = _PendingRequest(
            topic,
            {**payload, "clientToken": token},
            Deferred(lambda _: self._remove(token)),
            OneShot(self._clock),
            max_attempts,
            one_session,
        )
        self._pending[token] = request
        self._attempt(request)
        return request.response

    def close(self) -> None:
        """Cancel all requests."""
        for request in list(self._pending.values()):
            request.response.cancel()

    def session_ready(self) -> None:
        """Send every pending request again, because the subscriptions stand now."""
        self._ready = True
        self._sessions += 1
        for request in list(self._pending.values()):
            self._attempt(request)

    def session_lost(self) -> None:
        """Send nothing until :meth:`session_ready`."""
        self._ready = False
        for request in list(self._pending.values()):
            request.timer.cancel()
            if request.one_session:
                self.answered(request.topic, False, {**request.payload, "code": SESSION_LOST})

    def answered(self, topic: str, accepted: bool, payload: Mapping[str, object]) -> None:
        """Take a response, which may be to another client's request.

        :param topic: of the request.
        """
        token = self._token(topic, accepted, payload)
        request = self._pending.get(token)
        if request is None or request.topic != topic:
            self.log.debug("A response on {topic} is not for us", topic=topic)
            return
        code = "" if accepted else _code(payload)
        if code in self._temporary and request.attempts < request.max_attempts:
            self._retry_later(request, code)
        else:
            self._remove(token)
            request.response.callback(Response(payload, code))

    def unreadable(self, topic: str) -> None:
        """Take a response that cannot be parsed, to a request on this topic.

        It is ignored at first, and the request is repeated. After :data:`MAX_UNREADABLE` attempts
        the request counts as rejected with the code ``Unreadable``, if it is the only one pending
        on its topic.
        """
        tokens = self._tokens(topic)
        if len(tokens) == 1 and self._pending[tokens[0]].attempts >= MAX_UNREADABLE:
            self.answered(topic, False, {"code": "Unreadable"})

    def _token(self, topic: str, accepted: bool, payload: Mapping[str, object]) -> str:
        """The token of the request that a response is to; empty if that is not known.

        A rejection may lack the token, because AWS could not parse the request.
        """
        token = payload.get("clientToken")
        if isinstance(token, str) or accepted:
            return str(token)
        tokens = self._tokens(topic)
        return tokens[0] if len(tokens) == 1 else ""

    def _tokens(self, topic: str) -> list[str]:
        return [token for token, request in self._pending.items() if request.topic == topic]

    def _attempt(self, request: _PendingRequest) -> None:
        request.timer.cancel()
        if self._ready and self._session.publish(request.topic, encode(request.payload)):
            request.attempts += 1
            delay = RESPONSE_TIMEOUT.ceiling(request.attempts) * (0.75 + self._random() / 2)
            request.timer.start(delay, self._timed_out, request)

    def _timed_out(self, request: _PendingRequest) -> None:
        self.log.warn("No answer on {topic}", topic=request.topic)
        if request.attempts >= request.max_attempts:
            self.answered(request.topic, False, {**request.payload, "code": "NoResponse"})
        elif request.attempts % ATTEMPTS_PER_CONNECTION:
            self._attempt(request)
        else:
            self._session.disconnect_and_retry(f"no answer on {request.topic}")

    def _retry_later(self, request: _PendingRequest, code: str) -> None:
        delay = 1.0 + TEMPORARY_RETRY.delay(request.attempts, self._random)
        self.log.warn(
            "{topic}: {code}, again in {delay:.1f} s", topic=request.topic, code=code, delay=delay
        )
        request.timer.start(delay, self._attempt, request)

    def _remove(self, token: str) -> None:
        self._pending.pop(token).timer.cancel()


def _code(payload: Mapping[str, object]) -> str:
    code = payload.get("code")
    return code if isinstance(code, str) and code else "unknown"

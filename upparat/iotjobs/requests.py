"""Requests over MQTT that are repeated until they are answered."""

from __future__ import annotations

import random as _random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from upparat.backoff import Backoff
from upparat.mqtt.session import MqttSession

from .wire import encode

_RETRIED = frozenset({"RequestThrottled", "InternalError"})
"""Rejected codes that say nothing about the request: the same one may work later."""

ANSWER = Backoff(base=10.0, cap=120.0)
"""How long to wait for an answer; it can be lost though the request was acknowledged."""

RETRY = Backoff(base=2.0, cap=64.0)
"""How long to wait before asking again what was refused for the moment."""


UNREADABLE = 3
"""Attempts at a request until answers that make no sense count as one."""


SILENCE = 8
"""Attempts at a request without an answer, in 10 minutes, until the connection is given up for
another: it may have lost its subscriptions. Then as many again."""


@dataclass
class Response:
    """An answer; ``code`` is empty for an accepted request."""

    payload: Mapping[str, object]
    code: str = ""

    @property
    def accepted(self) -> bool:
        return not self.code


@dataclass
class _Request:
    topic: str
    payload: dict[str, object] = field(repr=False)
    done: Callable[[Response], None]
    attempts: int = 0
    timer: IDelayedCall | None = None


class Requests:
    """The requests that wait for an answer.

    All attempts of one request carry the same client token, so that a late answer to an early
    attempt counts as well.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        session: MqttSession,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._clock = clock
        self._session = session
        self._random = random
        self._ready = False
        self._waiting: dict[str, _Request] = {}

    @property
    def ready(self) -> bool:
        """Whether answers can reach us."""
        return self._ready

    def send(
        self, topic: str, payload: Mapping[str, object], done: Callable[[Response], None]
    ) -> str:
        """Publish until there is an answer, now and after every reconnection.

        Throttling and internal errors of AWS are answers only to us: ``done`` does not see them.

        :returns: the token, for :meth:`forget`.
        """
        token = secrets.token_hex(8)
        request = _Request(topic, {**payload, "clientToken": token}, done)
        self._waiting[token] = request
        self._attempt(request)
        return token

    def forget(self, token: str) -> None:
        """Nobody waits for the answer any more."""
        request = self._waiting.pop(token, None)
        if request is not None:
            self._cancel(request)

    def close(self) -> None:
        """Forget all of them."""
        for token in list(self._waiting):
            self.forget(token)

    def session_ready(self) -> None:
        """Subscriptions stand: send everything again that waits."""
        self._ready = True
        for request in list(self._waiting.values()):
            self._attempt(request)

    def session_lost(self) -> None:
        """Nothing can be sent until :meth:`session_ready`."""
        self._ready = False
        for request in self._waiting.values():
            self._cancel(request)

    def answered(self, topic: str, accepted: bool, payload: Mapping[str, object]) -> None:
        """An answer has come on the topic of a request; it may be for somebody else."""
        token = self._token(topic, accepted, payload)
        request = self._waiting.get(token)
        if request is None or request.topic != topic:
            self.log.debug("An answer on {topic} is not for us", topic=topic)
            return
        self._cancel(request)
        code = "" if accepted else _code(payload)
        if code in _RETRIED:
            self._retry(request, code)
        else:
            del self._waiting[token]
            request.done(Response(payload, code))

    def unreadable(self, topic: str) -> None:
        """What has come as an answer makes no sense. If it does so again and again, that is the
        answer: the one request that can be meant is refused with the code ``Unreadable``."""
        mine = [each for each in self._waiting.values() if each.topic == topic]
        if len(mine) == 1 and mine[0].attempts >= UNREADABLE:
            self.answered(topic, False, {"code": "Unreadable"})

    def _token(self, topic: str, accepted: bool, payload: Mapping[str, object]) -> str:
        """The token of an answer; AWS cannot echo that of a request that it could not read."""
        token = payload.get("clientToken")
        if isinstance(token, str) or accepted:
            return str(token)
        mine = [token for token, request in self._waiting.items() if request.topic == topic]
        return mine[0] if len(mine) == 1 else ""

    def _attempt(self, request: _Request) -> None:
        self._cancel(request)
        if self._ready and self._session.publish(request.topic, encode(request.payload)):
            request.attempts += 1
            delay = ANSWER.ceiling(request.attempts) * (0.75 + self._random() / 2)
            request.timer = self._clock.callLater(delay, self._unanswered, request)

    def _unanswered(self, request: _Request) -> None:
        self.log.warn("No answer on {topic}", topic=request.topic)
        request.timer = None
        if request.attempts % SILENCE:
            self._attempt(request)
        else:
            self._session.disconnect_and_retry(f"no answer on {request.topic}")

    def _retry(self, request: _Request, code: str) -> None:
        delay = 1.0 + RETRY.delay(request.attempts, self._random)
        self.log.warn(
            "{topic}: {code}, again in {delay:.1f} s", topic=request.topic, code=code, delay=delay
        )
        request.timer = self._clock.callLater(delay, self._attempt_late, request)

    def _attempt_late(self, request: _Request) -> None:
        request.timer = None
        self._attempt(request)

    def _cancel(self, request: _Request) -> None:
        if request.timer is not None and request.timer.active():
            request.timer.cancel()
        request.timer = None


def _code(payload: Mapping[str, object]) -> str:
    code = payload.get("code")
    return code if isinstance(code, str) and code else "unknown"

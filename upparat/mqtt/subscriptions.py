"""Subscriptions that wait for the broker to grant them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, succeed

from .paho import Client

FILTERS = 8
"""The most filters that AWS takes in one SUBSCRIBE."""


class SubscribeError(Exception):
    """A subscription was refused, or the connection was lost before it was granted."""


class Subscriptions:
    """Those of one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._requests: dict[int, _Request] = {}

    def ask(self, filters: Sequence[str]) -> Deferred[None]:
        """Ask for all filters with QoS 1, at most :data:`FILTERS` in one SUBSCRIBE.

        The Deferred fires when all of them are granted, or fails with :class:`SubscribeError`.

        :raises ValueError: if a filter is none.
        """
        if not filters:
            return succeed(None)
        together = _Together()
        for start in range(0, len(filters), FILTERS):
            self._subscribe(filters[start : start + FILTERS], together)
        return together.done

    def _subscribe(self, filters: Sequence[str], together: _Together) -> None:
        _, mid = self._client.subscribe([(name, 1) for name in filters])
        if mid is None:
            together.fail("there is no connection")
        else:
            together.waiting.add(mid)
            self._requests[mid] = _Request(filters, together)

    def answered(self, mid: int, granted: Sequence[bool]) -> None:
        """A SUBACK has come, with a verdict on each filter."""
        request = self._requests.pop(mid, None)
        if request is not None:
            request.answered(mid, granted)

    def lose(self, reason: str) -> None:
        """No SUBACK comes any more."""
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.together.fail(f"the connection was lost: {reason}")


@dataclass
class _Together:
    """Several SUBSCRIBEs that succeed or fail as one; ``done`` may be cancelled."""

    waiting: set[int] = field(default_factory=set)
    done: Deferred[None] = field(default_factory=Deferred)

    def granted(self, mid: int) -> None:
        self.waiting.discard(mid)
        if not self.waiting and not self.done.called:
            self.done.callback(None)

    def fail(self, reason: str) -> None:
        if not self.done.called:
            self.done.errback(SubscribeError(reason))


@dataclass
class _Request:
    """One SUBSCRIBE."""

    filters: Sequence[str]
    together: _Together

    def answered(self, mid: int, granted: Sequence[bool]) -> None:
        if len(granted) != len(self.filters):
            self.together.fail("SUBACK does not match SUBSCRIBE")
        elif not all(granted):
            names = [name for name, yes in zip(self.filters, granted, strict=True) if not yes]
            self.together.fail(f"the broker refuses {', '.join(names)}")
        else:
            self.together.granted(mid)

"""A call that is made later, once, unless something else happens first."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_P = ParamSpec("_P")


class OneShot:
    """One delayed call on a clock, to be started, replaced and cancelled in any order."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._delayed: IDelayedCall | None = None

    @property
    def running(self) -> bool:
        """Whether a call is still to come; no longer while it is made."""
        return self._delayed is not None

    @property
    def remaining(self) -> float | None:
        """Seconds until the call is made; ``None`` if none is to come."""
        if self._delayed is None:
            return None
        return max(0.0, self._delayed.getTime() - self._clock.seconds())

    def start(
        self, seconds: float, call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Make this call in so many seconds, instead of one that is still to come."""
        self.cancel()

        def fire() -> None:
            self._delayed = None
            call(*args, **kwargs)

        self._delayed = self._clock.callLater(seconds, fire)

    def postpone(self, seconds: float) -> None:
        """Make the call in so many seconds from now, if it is still to come. Cheaper than a new
        start, because the clock keeps what it has."""
        if self._delayed is not None:
            self._delayed.reset(seconds)

    def cancel(self) -> None:
        """Make no call; it is no error if none is to come."""
        delayed, self._delayed = self._delayed, None
        if delayed is not None and delayed.active():
            delayed.cancel()

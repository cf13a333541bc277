"""The ``Timer`` port on a reactor."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from .oneshot import OneShot
from .ports import Timer, TimerEvents


class ReactorTimer:
    """Reports the end of one delay to :class:`upparat.ports.TimerEvents`."""

    events: TimerEvents

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._delay = OneShot(clock)

    def start(self, seconds: float) -> None:
        self._delay.start(seconds, self._timeout)

    @property
    def remaining(self) -> float | None:
        """Seconds until the timeout; ``None`` if none is to come."""
        return self._delay.remaining

    def cancel(self) -> None:
        self._delay.cancel()

    def now(self) -> float:
        return self._clock.seconds()

    def _timeout(self) -> None:
        self.events.timeout()


def _is_port(timer: ReactorTimer) -> Timer:
    return timer

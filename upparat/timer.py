"""The ``Timer`` port on a reactor."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .ports import Timer, TimerEvents


class ReactorTimer:
    """One delayed call; tells :class:`upparat.ports.TimerEvents`."""

    events: TimerEvents

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None

    def start(self, seconds: float) -> None:
        self.cancel()
        self._call = self._clock.callLater(seconds, self._timeout)

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = None

    def now(self) -> float:
        return self._clock.seconds()

    def _timeout(self) -> None:
        self._call = None
        self.events.timeout()


def _is_port(timer: ReactorTimer) -> Timer:
    return timer

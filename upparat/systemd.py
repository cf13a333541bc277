"""What systemd wants to hear of a service: ``sd_notify(3)`` and ``sd_watchdog_enabled(3)``."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

TICK = 30.0
"""Seconds between two status texts where no watchdog asks for more."""

AGAIN = 1.0
"""Seconds until systemd is told again what it must not miss and had no room for."""

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """Tells systemd how the agent is; without systemd it does nothing.

    A ping comes from the reactor, so none comes when the reactor is stuck.

    :param healthy: asked before each ping; if it is not, systemd gets none, and restarts the agent.
    :param status: what ``systemctl status`` shows, asked for at each tick.
    :param environ: the environment; its variables for us are removed, since hooks inherit it.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        healthy: Callable[[], bool],
        status: Callable[[], str],
        environ: MutableMapping[str, str] = os.environ,
    ) -> None:
        self._clock = clock
        self._healthy = healthy
        self._status = status
        address, usec, pid = (environ.pop(name, "") for name in _VARIABLES)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watched = usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid()))
        self._interval = min(TICK, int(usec) / 2e6) if self._watched else TICK
        self._told = ""
        self._owed: list[str] = []
        self._next: IDelayedCall | None = None

    def ready(self) -> None:
        """The agent has started."""
        if self._address:
            self._owed.append("READY=1")
            self._tick()

    def stopping(self) -> None:
        """The agent is about to end; the watchdog is still served until it has."""
        if self._address:
            self._owed.append("STOPPING=1")
            self._settle()

    def refresh(self) -> None:
        """The status may have changed."""
        status = self._status().replace("\n", " ")
        if status != self._told and self._tell(f"STATUS={status}"):
            self._told = status

    def close(self) -> None:
        """Tell nothing any more."""
        if self._next is not None:
            self._next.cancel()
        self._next = None

    def _tick(self) -> None:
        self._settle()
        interval = min(AGAIN, self._interval) if self._owed else self._interval
        self._next = self._clock.callLater(interval, self._tick)
        self.refresh()
        if self._watched and self._healthy():
            self._tell("WATCHDOG=1")

    def _settle(self) -> None:
        while self._owed and self._tell(self._owed[0]):
            del self._owed[0]

    def _tell(self, fact: str) -> bool:
        """Whether that is done with: systemd may have a lot to read, and then hears nothing."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto(fact.encode(), self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            self.log.warn("systemd cannot be told {fact}: {error}", fact=fact, error=str(error))
        return True

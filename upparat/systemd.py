"""Messages to systemd: ``sd_notify(3)`` and ``sd_watchdog_enabled(3)``."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, MutableMapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from .disk import waiting_since
from .oneshot import OneShot

STATUS_INTERVAL = 30.0
"""Seconds between two looks at the status where the watchdog asks for no shorter interval."""

RESEND_INTERVAL = 1.0
"""Seconds until READY or STOPPING is sent again because systemd's queue was full."""

LONGEST_WAIT = 600.0
"""Seconds of one wait for the disk that the watchdog is told of. A disk that takes longer is taken
for dead."""

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """Reports to systemd how the agent is; without systemd it does nothing.

    The reactor sends the watchdog's pings, so that none is sent when the reactor is stuck. While it
    waits for the disk, a thread sends them: a slow disk is no reason to kill the agent in the
    middle of its writing.

    :param healthy: called before each ping, by any thread. If it returns ``False``, no ping is
        sent, and systemd restarts the agent.
    :param status: returns the text for ``systemctl status``.
    :param environ: the environment. The variables for the agent are removed from it, because hooks
        inherit it.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        healthy: Callable[[], bool],
        status: Callable[[], str],
        environ: MutableMapping[str, str] = os.environ,
    ) -> None:
        self._healthy = healthy
        self._status = status
        address, usec, pid = (environ.pop(name, "") for name in _VARIABLES)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watched = usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid()))
        half_timeout = int(usec) / 2e6 if self._watched else STATUS_INTERVAL
        self._interval = min(STATUS_INTERVAL, half_timeout)
        self._last_status = ""
        self._unsent: list[str] = []
        self._next_tick = OneShot(clock)
        self._closed = threading.Event()

    def ready(self) -> None:
        """Report that the agent has started."""
        if self._address:
            self._unsent.append("READY=1")
            self._tick()
        if self._address and self._watched:
            threading.Thread(target=self._watch_disk, name="disk", daemon=True).start()

    def stopping(self) -> None:
        """Report that the agent is about to end; pings go on until :meth:`close`."""
        if self._address:
            self._unsent.append("STOPPING=1")
            self._send_unsent()

    def refresh(self) -> None:
        """Send the status if it has changed."""
        status = self._status().replace("\n", " ")
        if status != self._last_status and self._send(f"STATUS={status}"):
            self._last_status = status

    def close(self) -> None:
        """Send nothing any more."""
        self._next_tick.cancel()
        self._closed.set()

    def _watch_disk(self) -> None:
        """Send the pings in place of the reactor while that waits for the disk."""
        while not self._closed.wait(self._interval / 2):
            since = waiting_since()
            waits = since is not None and time.monotonic() - since < LONGEST_WAIT
            if waits and self._healthy():
                self._send("WATCHDOG=1")

    def _tick(self) -> None:
        self._send_unsent()
        interval = min(RESEND_INTERVAL, self._interval) if self._unsent else self._interval
        self._next_tick.start(interval, self._tick)
        self.refresh()
        if self._watched and self._healthy():
            self._send("WATCHDOG=1")

    def _send_unsent(self) -> None:
        while self._unsent and self._send(self._unsent[0]):
            del self._unsent[0]

    def _send(self, message: str) -> bool:
        """Send one message.

        :returns: ``False`` if it may be sent again later, because systemd's queue was full; after
            another error it counts as sent.
        """
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto(message.encode(), self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            self.log.warn("systemd cannot be told {fact}: {error}", fact=message, error=str(error))
        return True

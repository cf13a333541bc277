"""Opens the socket to the broker: name lookup, TCP and TLS block, so a thread does it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from upparat.config.settings import Broker
from upparat.net.http_connect import ConnectAnswer, ProxyError, connect_request
from upparat.net.threads import in_daemon

from .tls import client_context

SHORTEST = 0.1
"""The shortest time-out of one step, in seconds: none would mean not to block at all."""

RECEIVED = 4096
"""The most bytes that are read at once."""


class Abandoned(Exception):
    """The attempt was given up before it came to an end."""


class Dial:
    """One attempt to reach the broker, in a daemon: a name lookup cannot be interrupted."""

    def __init__(self, reactor: IReactorFromThreads, broker: Broker) -> None:
        self._reactor = reactor
        self._broker = broker
        self._deadline = 0.0
        self._lock = Lock()
        self._abandoned = False
        self._socket: socket.socket | None = None

    def start(self) -> Deferred[socket.socket]:
        """Fires when the thread is over: with a socket that is connected and has TLS if it is
        wanted, or fails with any kind of error, :class:`Abandoned` after :meth:`abandon`.

        Without it, it ends after ``connect_timeout`` and the time that the name lookup takes.
        """
        dialled = in_daemon(self._reactor, self._dial, "mqtt-dial")
        return dialled.addCallbacks(self._dialled, self._not_dialled)

    def abandon(self) -> bool:
        """Give the attempt up; whether a socket was open, in which case the thread ends at once.

        Otherwise the thread may still wait for the name lookup, but opens nothing after it.
        """
        with self._lock:
            self._abandoned = True
            if self._socket is None:
                return False
            with suppress(OSError):
                # The plain method wakes the thread up and leaves the TLS that it is in alone.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            return True

    # --- in the thread ---

    def _dial(self) -> socket.socket:
        self._deadline = time.monotonic() + self._broker.connect_timeout
        plain = self._reach()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return self._secure(plain) if self._broker.tls else plain

    def _reach(self) -> socket.socket:
        """A socket that leads to the broker."""
        proxy = self._broker.proxy
        if proxy is None:
            return self._open(self._broker.host, self._broker.port)
        request = connect_request(proxy, self._broker.host, self._broker.port)
        try:
            return self._ask(self._open(proxy.host, proxy.port), request)
        except OSError as error:
            raise ProxyError(f"the proxy: {error}") from None

    def _open(self, host: str, port: int) -> socket.socket:
        return self._connect(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    def _ask(self, plain: socket.socket, request: bytes) -> socket.socket:
        """Have the proxy open the way."""
        answer = ConnectAnswer()
        plain.settimeout(self._left())
        plain.sendall(request)
        while not answer.feed(self._receive(plain)):
            pass
        return plain

    def _receive(self, plain: socket.socket) -> bytes:
        plain.settimeout(self._left())
        data = plain.recv(RECEIVED)
        if not data:
            raise ProxyError("the proxy closes the connection")
        if time.monotonic() > self._deadline:  # one that drips must not keep us
            raise TimeoutError("timed out")
        return data

    def _connect(self, addresses: Sequence[tuple[Any, ...]]) -> socket.socket:
        """Try one address after the other, each with its share of the time that is left: an
        address that answers nothing must not keep the next one from being tried."""
        problem = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            plain = self._keep(socket.socket(family, kind, protocol))
            plain.settimeout(self._left() / (len(addresses) - index))
            try:
                plain.connect(address)
                return plain
            except OSError as error:
                problem = error
                self._close()
        raise problem

    def _secure(self, plain: socket.socket) -> socket.socket:
        context = client_context(self._broker)
        with self._lock:
            # wrap_socket takes the descriptor away from the socket that abandon() knows.
            secure = context.wrap_socket(
                plain, server_hostname=self._broker.host, do_handshake_on_connect=False
            )
            self._socket = secure
        secure.settimeout(self._left())
        secure.do_handshake()
        return secure

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), SHORTEST)

    def _keep(self, plain: socket.socket) -> socket.socket:
        with self._lock:
            if self._abandoned:
                plain.close()
                raise Abandoned
            self._socket = plain
        return plain

    # --- in either thread ---

    def _close(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    # --- in the reactor's thread ---

    def _dialled(self, opened: socket.socket) -> socket.socket:
        if self._abandoned:
            self._close()
            raise Abandoned
        return opened

    def _not_dialled(self, failure: Failure) -> Failure:
        self._close()
        return Failure(Abandoned()) if self._abandoned else failure

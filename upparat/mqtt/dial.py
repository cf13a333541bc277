"""Opens the socket to the broker, in a thread because name lookup, TCP and TLS block."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from upparat.config.settings import BrokerSettings
from upparat.net.http_connect import ConnectResponse, ProxyError, connect_request
from upparat.net.threads import defer_to_daemon_thread

MIN_STEP_TIMEOUT = 0.1
"""Shortest time-out of one step, in seconds; a time-out of 0 would make the socket non-blocking."""

RECEIVE_SIZE = 4096
"""Bytes that are read from a proxy at once."""

ALPN = "x-amzn-mqtt-ca"
"""Says to AWS IoT that a client on port 443 speaks MQTT and shows a certificate.

See https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html.
"""

ALPN_PORT = 443
"""The port that needs :data:`ALPN`; AWS expects no ALPN on any other."""


def client_context(broker: BrokerSettings) -> ssl.SSLContext:
    """Make a TLS context with client authentication, which checks the server's chain and host name.

    :raises OSError: if a file of ``broker`` cannot be used (``ssl.SSLError`` is an ``OSError``).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without renegotiation a read never waits for a write, nor a write for a read.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_verify_locations(broker.cafile)
    # Without a password OpenSSL would ask for one on the terminal, so give it an empty one.
    context.load_cert_chain(broker.certfile, broker.keyfile, password="")
    if broker.port == ALPN_PORT:
        context.set_alpn_protocols([ALPN])
    return context


class Abandoned(Exception):
    """:meth:`Dial.abandon` was called before the attempt ended."""


class Dial:
    """One attempt to reach the broker.

    It runs in a daemon thread, because a name lookup cannot be interrupted.
    """

    def __init__(self, reactor: IReactorFromThreads, broker: BrokerSettings) -> None:
        self._reactor = reactor
        self._broker = broker
        self._deadline = 0.0
        self._lock = Lock()
        self._abandoned = False
        self._socket: socket.socket | None = None

    def start(self) -> Deferred[socket.socket]:
        """Start the thread.

        The Deferred fires when the thread has ended, with a connected socket, over TLS if that is
        configured. It fails with any kind of error, and with :class:`Abandoned` after
        :meth:`abandon`. The thread ends by itself after ``connect_timeout`` seconds and the time
        that the name lookup takes.
        """
        dialled = defer_to_daemon_thread(self._reactor, self._dial, "mqtt-dial")
        return dialled.addCallbacks(self._dialled, self._not_dialled)

    def abandon(self) -> bool:
        """Stop the attempt.

        :returns: ``True`` if a socket was open, in which case the thread ends at once. Otherwise
            the thread may still wait for the name lookup, but it opens no socket afterwards.
        """
        with self._lock:
            self._abandoned = True
            if self._socket is None:
                return False
            with suppress(OSError):
                # The plain socket's method wakes the thread and does not touch its TLS state.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            return True

    # --- in the thread ---

    def _dial(self) -> socket.socket:
        self._deadline = time.monotonic() + self._broker.connect_timeout
        plain = self._connect_to_broker()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return self._secure(plain) if self._broker.tls else plain

    def _connect_to_broker(self) -> socket.socket:
        """Connect to the broker, through the proxy if there is one."""
        proxy = self._broker.proxy
        if proxy is None:
            return self._connect_to(self._broker.host, self._broker.port)
        request = connect_request(proxy, self._broker.host, self._broker.port)
        try:
            return self._tunnel(self._connect_to(proxy.host, proxy.port), request)
        except OSError as error:
            raise ProxyError(f"the proxy: {error}") from None

    def _connect_to(self, host: str, port: int) -> socket.socket:
        return self._connect_first(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    def _tunnel(self, plain: socket.socket, request: bytes) -> socket.socket:
        """Ask the proxy to connect this socket to the broker."""
        answer = ConnectResponse()
        plain.settimeout(self._left())
        plain.sendall(request)
        while not answer.feed(self._receive(plain)):
            pass
        return plain

    def _receive(self, plain: socket.socket) -> bytes:
        plain.settimeout(self._left())
        data = plain.recv(RECEIVE_SIZE)
        if not data:
            raise ProxyError("the proxy closes the connection")
        if time.monotonic() > self._deadline:  # the proxy sends a byte now and then, for ever
            raise TimeoutError("timed out")
        return data

    def _connect_first(self, addresses: Sequence[tuple[Any, ...]]) -> socket.socket:
        """Try one address after the other.

        Each gets its share of the time that is left, so that the next one is tried even if this
        one does not answer.
        """
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
            # wrap_socket() takes the descriptor from the socket that abandon() would shut down.
            secure = context.wrap_socket(
                plain, server_hostname=self._broker.host, do_handshake_on_connect=False
            )
            self._socket = secure
        secure.settimeout(self._left())
        secure.do_handshake()
        return secure

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), MIN_STEP_TIMEOUT)

    def _keep(self, plain: socket.socket) -> socket.socket:
        """Let :meth:`abandon` shut this socket down from now on."""
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

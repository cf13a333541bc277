"""A way to a broker that closes a connection as AWS does for a topic that its policy forbids."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class PolicedBroker:
    """Passes connections on to a broker, while it is a context.

    :param port: of the broker on this host.
    :param forbidden: bytes that a client must not send.
    """

    def __init__(self, port: int, forbidden: bytes) -> None:
        self.closed = 0
        self._target = ("127.0.0.1", port)
        self._forbidden = forbidden
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            _close(each)
        for thread in self._threads:
            thread.join()

    def _run(self, work: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._target)
                self._open += [client, broker]
                self._run(self._requests, client, broker)
                self._run(self._answers, broker, client)

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._forbidden in data:
                    self.closed += 1
                    break
                broker.sendall(data)
        _close(client)
        _close(broker)

    def _answers(self, broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := broker.recv(65536):
                client.sendall(data)
        _close(client)


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()

"""MQTT by the byte: packets, and a broker that does exactly what a test's script says."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from threading import Thread
from types import TracebackType

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 0x80, 0x90, 0xC0, 0xD0, 0xE0

Packet = tuple[int, bytes]
"""The first byte, flags and all, and what follows the length."""


def packet(first: int, rest: bytes = b"") -> bytes:
    """A packet on the wire."""
    length, digits = len(rest), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes([first]) + bytes(digits) + rest


def text(value: str | bytes) -> bytes:
    """A string with its length."""
    encoded = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(encoded)) + encoded


def connack(code: int = 0) -> bytes:
    return packet(CONNACK, bytes([0, code]))


def suback(request: bytes, codes: Sequence[int] | None = None) -> bytes:
    """The answer to the rest of a SUBSCRIBE: by default, all that it asks for."""
    granted = [1] * len(filters(request)) if codes is None else codes
    return packet(SUBACK, request[:2] + bytes(granted))


def publish(topic: str | bytes, payload: bytes, mid: int = 0) -> bytes:
    """QoS 1 with a packet identifier, QoS 0 without."""
    identifier = struct.pack("!H", mid) if mid else b""
    return packet(PUBLISH | (0x02 if mid else 0), text(topic) + identifier + payload)


def puback(mid: int) -> bytes:
    return packet(PUBACK, struct.pack("!H", mid))


def filters(request: bytes) -> list[tuple[str, int]]:
    """The filters of a SUBSCRIBE with their QoS."""
    found, rest = [], request[2:]
    while rest:
        (length,) = struct.unpack("!H", rest[:2])
        found.append((rest[2 : 2 + length].decode(), rest[2 + length]))
        rest = rest[3 + length :]
    return found


def split(data: bytes) -> tuple[list[Packet], bytes]:
    """The packets that are complete, and what is left."""
    packets: list[Packet] = []
    while True:
        length = shift = 0
        for index in range(1, len(data)):
            length |= (data[index] & 0x7F) << shift
            shift += 7
            if not data[index] & 0x80:
                break
        else:
            return packets, data
        end = index + 1 + length
        if len(data) < end:
            return packets, data
        packets.append((data[0], data[index + 1 : end]))
        data = data[end:]


class Peer:
    """A client as the broker sees it; blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.packets: list[Packet] = []
        self.ended = False
        self._data = b""
        self._read = 0

    def read(self) -> Packet:
        """The next packet; ``EOFError`` when there is none."""
        while len(self.packets) == self._read:
            data = self.connection.recv(65536)
            if not data:
                self.ended = True
                raise EOFError
            complete, self._data = split(self._data + data)
            self.packets += complete
        self._read += 1
        return self.packets[self._read - 1]

    def read_all(self) -> None:
        """Until the client closes."""
        while True:
            self.read()

    def send(self, *packets: bytes) -> None:
        """In one write: over TLS, in as few records as possible."""
        self.connection.sendall(b"".join(packets))


class RawBroker:
    """Listens on a loopback port and runs ``script`` in a thread for every client.

    The connection is closed when the script returns, or raises as it does at the client's end.
    """

    def __init__(
        self,
        script: Callable[[Peer], None],
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._script = script
        self._context = context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.peers: list[Peer] = []
        self.problems: list[OSError] = []
        self._thread = Thread(target=self._listen, daemon=True)

    def __enter__(self) -> RawBroker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            peer.connection.close()
        self._thread.join()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            peer = Peer(connection)
            self.peers.append(peer)
            self._script(peer)
        except EOFError:
            pass
        except OSError as error:
            self.problems.append(error)
        finally:
            connection.close()

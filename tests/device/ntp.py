"""A time server for the guest."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Self

PORT = 123
"""systemd-timesyncd asks no other port."""
TO_1900 = 2_208_988_800
"""Seconds from the epoch of NTP to that of Unix."""


class NtpServer:
    """Tells the time of this computer on the loopback interface. Needs root, for its port."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._socket.bind(("127.0.0.1", PORT))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", PORT))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(512)
            if not query:
                return
            if len(query) >= 48:
                self._socket.sendto(answer(query, time.time()), sender)


def answer(query: bytes, now: float) -> bytes:
    """The answer of a server of stratum 1 (RFC 4330)."""
    stamp = struct.pack(">II", int(now) + TO_1900, int(now % 1 * 2**32))
    head = struct.pack(">BBBbII4s", 0x24, 1, 6, -20, 0, 0, b"LOCL")
    return head + stamp + query[40:48] + stamp + stamp

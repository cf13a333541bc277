"""A control socket that answers as a test says, in a thread."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from pathlib import Path

from .waiting import PATIENCE


class Answering:
    """A socket in a directory of its own, whose path is short enough.

    :ivar asked: the requests so far.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._threads: list[threading.Thread] = []
        self._done = threading.Event()
        self.path = Path(self._directory.name, "control.sock")
        self.asked: list[bytes] = []

    def serve(self, *pieces: bytes, hold: bool = False) -> None:
        """Answer one client with these bytes, and close unless they are to be held open."""
        self.path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(PATIENCE)
        server.bind(str(self.path))
        server.listen()

        def answer() -> None:
            with server, server.accept()[0] as connection:
                self.asked.append(connection.recv(4096))
                for piece in pieces:
                    connection.sendall(piece)
                if hold:
                    self._done.wait()

        self._threads.append(threading.Thread(target=answer, daemon=True))
        self._threads[-1].start()

    def say(self, *messages: object, hold: bool = False) -> None:
        """Answer one client with these messages."""
        self.serve(*(json.dumps(message).encode() + b"\n" for message in messages), hold=hold)

    def close(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._directory.cleanup()

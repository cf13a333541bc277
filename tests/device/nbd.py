"""Serves a disk to QEMU over NBD, the protocol of network block devices."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path
from typing import Protocol, Self

OPTION_MAGIC = 0x49484156454F5054
REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC, RESPONSE_MAGIC = 0x25609513, 0x67446698
ACK, INFO, UNSUPPORTED = 1, 3, 2**31 + 1
EXPORT_NAME, ABORT, GO = 1, 2, 7
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
FUA = 1
FLAGS = 1 | 1 << 2 | 1 << 3
"""Flags are given, FLUSH and FUA are understood."""
EINVAL = 22


class Disk(Protocol):
    """What is served."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes, through: bool = False) -> None: ...

    def flush(self) -> None: ...


class NbdServer:
    """Serves one client at a time on a Unix socket. It answers the requests one after another."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self._disk = disk
        self._listener = socket.socket(socket.AF_UNIX)
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.path.unlink()

    def wait_until_idle(self) -> None:
        """Wait until the last request of a client that has gone is dealt with."""
        self._idle.wait()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._idle.clear()
            with client, contextlib.suppress(EOFError, OSError):
                session = _Session(client, self._disk)
                if session.negotiate():
                    while session.answer():
                        pass
            self._idle.set()


class _Session:
    def __init__(self, client: socket.socket, disk: Disk) -> None:
        self._client = client
        self._disk = disk
        self._file = client.makefile("rb")

    def negotiate(self) -> bool:
        """Agree on the export. Returns false if the client gives up."""
        self._client.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION_MAGIC, 1 | 1 << 1))
        self._take(4)
        while True:
            _, option, length = struct.unpack(">QII", self._take(16))
            self._take(length)
            if option == EXPORT_NAME:
                self._client.sendall(struct.pack(">QH", self._disk.size, FLAGS))
                return True
            if option == GO:
                self._reply(option, INFO, struct.pack(">HQH", 0, self._disk.size, FLAGS))
                self._reply(option, ACK)
                return True
            self._reply(option, ACK if option == ABORT else UNSUPPORTED)
            if option == ABORT:
                return False

    def answer(self) -> bool:
        """Answer one request. Returns false after the last one."""
        header = self._take(28)
        _, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", header)
        data, error = b"", 0
        if command == READ:
            data = self._disk.read(offset, length)
        elif command == WRITE:
            self._disk.write(offset, self._take(length), bool(flags & FUA))
        elif command == FLUSH:
            self._disk.flush()
        elif command == DISCONNECT:
            return False
        else:
            error = EINVAL
        self._client.sendall(struct.pack(">IIQ", RESPONSE_MAGIC, error, cookie) + data)
        return True

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self._client.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)

    def _take(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise EOFError
        return data

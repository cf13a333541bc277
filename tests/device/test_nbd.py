"""What QEMU asks of the disk comes to it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from .nbd import EINVAL, FLUSH, FUA, GO, OPTION_MAGIC, READ, REQUEST_MAGIC, WRITE, NbdServer


class FakeDisk:
    size = 8192

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def read(self, offset: int, length: int) -> bytes:
        return b"r" * length

    def write(self, offset: int, data: bytes, through: bool = False) -> None:
        self.calls.append((offset, data, through))

    def flush(self) -> None:
        self.calls.append(("flush",))


class Client:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")
        assert self.file.read(8) == b"NBDMAGIC"
        self.file.read(10)
        self.socket.sendall(struct.pack(">I", 3))

    def option(self, number: int) -> tuple[int, bytes]:
        self.socket.sendall(struct.pack(">QII", OPTION_MAGIC, number, 4) + b"data")
        return self.reply()

    def reply(self) -> tuple[int, bytes]:
        _, _, kind, length = struct.unpack(">QIII", self.file.read(20))
        return kind, self.file.read(length)

    def ask(self, command: int, offset: int = 0, length: int = 0, flags: int = 0) -> int:
        request = struct.pack(">IHHQQI", REQUEST_MAGIC, flags, command, 7, offset, length)
        self.socket.sendall(request + (b"w" * length if command == WRITE else b""))
        _, error, cookie = struct.unpack(">IIQ", self.file.read(16))
        assert cookie == 7
        return int(error)


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def client(disk: FakeDisk, tmp_path: Path) -> Iterator[Client]:
    with NbdServer(disk, tmp_path / "nbd.sock") as server:
        client = Client(server.path)
        yield client
        client.file.close()
        client.socket.close()
        server.wait_until_idle()


def test_an_option_of_no_use_is_refused_and_the_disk_is_told(client: Client) -> None:
    assert client.option(8) == (2**31 + 1, b"")
    kind, info = client.option(GO)
    assert (kind, struct.unpack(">HQ", info[:10])) == (3, (0, 8192))
    assert client.reply() == (1, b"")


def test_requests(client: Client, disk: FakeDisk) -> None:
    client.option(GO)
    client.reply()
    assert client.ask(WRITE, 100, 3) == 0
    assert client.ask(WRITE, 200, 2, FUA) == 0
    assert client.ask(FLUSH) == 0
    assert client.ask(READ, 0, 5) == 0
    assert client.file.read(5) == b"rrrrr"
    assert client.ask(99) == EINVAL
    assert disk.calls == [(100, b"www", False), (200, b"ww", True), ("flush",)]

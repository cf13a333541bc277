"""Two hosts with a slow, lossy line between them: network namespaces, and a relay in between.

with ShapedLink() as link:
    ...  # run [*link.server, command] and [*link.client, command]

The hosts are real: the kernel's TCP, devices of the kind TUN. Only the line is ours: not every
kernel has ``netem``. It needs root, ``/dev/net/tun`` and the Debian package iproute2.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

import pytest

SERVER, CLIENT = "10.99.0.1", "10.99.0.2"
"""Addresses that only the namespaces know."""

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_PACKET = 65536


def can_be_shaped() -> bool:
    """Whether this machine and user can have such a line."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists() and shutil.which("ip") is not None


requires_shaping = pytest.mark.skipif(
    not can_be_shaped(), reason="needs root, /dev/net/tun and ip: apt-get install iproute2"
)


class Way:
    """One direction of the line.

    :param delay: seconds that each packet takes.
    :param loss: the share of packets that never come.
    :param rate: bytes per second.
    :param queue: seconds that a packet waits for those before it, at the most; else it is dropped.
    """

    def __init__(self, delay: float, loss: float, rate: float, queue: float) -> None:
        self._delay, self._loss, self._rate, self._queue = delay, loss, rate, queue
        self._packets: deque[tuple[float, bytes]] = deque()
        self._free = 0.0
        self.seed(0)

    def seed(self, number: int) -> None:
        """Lose the same packets as the last time with this number."""
        self._random = random.Random(number)
        self.taken = self.lost = 0

    def take(self, now: float, packet: bytes) -> None:
        self.taken += 1
        free = max(self._free, now)
        if self._random.random() < self._loss or free - now > self._queue:
            self.lost += 1
            return
        self._free = free + len(packet) / self._rate
        self._packets.append((self._free + self._delay, packet))

    @property
    def due(self) -> float | None:
        """When the next packet arrives."""
        return self._packets[0][0] if self._packets else None

    def arrived(self, now: float) -> bytes | None:
        """The next packet that is there, if there is one."""
        due = self.due
        return self._packets.popleft()[1] if due is not None and due <= now else None


class ShapedLink:
    """A line while it is a context.

    :param rtt: seconds to the other host and back.
    :param loss: the share of packets that get lost, in each direction.
    :param rate: bits per second in each direction.
    :param congestion: the algorithm of TCP's congestion control; empty for the system's.
    """

    def __init__(
        self, rtt: float = 0.05, loss: float = 0.01, rate: float = 20e6, congestion: str = ""
    ) -> None:
        self._ways = [Way(rtt / 2, loss, rate / 8, rtt) for _ in range(2)]
        self._congestion = congestion
        self._names = [f"upparat-{os.getpid()}-{side}" for side in ("server", "client")]
        self._fds: list[int] = []
        self._wake, self._waker = os.pipe()
        self._relay = threading.Thread(target=self._run, daemon=True)

    @property
    def server(self) -> list[str]:
        """What runs a command on the server's host, at :data:`SERVER`."""
        return ["ip", "netns", "exec", self._names[0]]

    @property
    def client(self) -> list[str]:
        return ["ip", "netns", "exec", self._names[1]]

    @property
    def lost(self) -> int:
        """Packets, since the last seed."""
        return sum(way.lost for way in self._ways)

    def seed(self, number: int) -> None:
        for side, way in enumerate(self._ways):
            way.seed(2 * number + side)

    def __enter__(self) -> Self:
        hosts = zip(self._names, (SERVER, CLIENT), (CLIENT, SERVER), strict=True)
        try:
            for number, (name, own, other) in enumerate(hosts):
                self._make_host(name, f"upt{os.getpid()}-{number}", own, other)
        except BaseException:
            self._remove_hosts()
            raise
        self._relay.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._waker)
        self._relay.join()
        os.close(self._wake)
        for fd in self._fds:
            os.close(fd)
        self._remove_hosts()

    def _make_host(self, name: str, device: str, own: str, other: str) -> None:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        self._fds.append(fd)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
        _ip("netns", "add", name)
        _ip("link", "set", device, "netns", name)
        _ip("-n", name, "addr", "add", own, "peer", other, "dev", device)
        for each in ("lo", device):
            _ip("-n", name, "link", "set", each, "up")
        if self._congestion:
            command = f"echo {self._congestion} >/proc/sys/net/ipv4/tcp_congestion_control"
            subprocess.run(["ip", "netns", "exec", name, "sh", "-c", command], check=True)

    def _remove_hosts(self) -> None:
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    # --- the relay: a thread of its own ---

    def _run(self) -> None:
        while True:
            readable, _, _ = select.select([self._wake, *self._fds], [], [], self._patience())
            if self._wake in readable:
                return
            now = time.monotonic()
            for fd, way in zip(self._fds, self._ways, strict=True):
                if fd in readable:
                    way.take(now, os.read(fd, _PACKET))
            for fd, way in zip(reversed(self._fds), self._ways, strict=True):
                while (packet := way.arrived(now)) is not None:
                    os.write(fd, packet)

    def _patience(self) -> float | None:
        dues = [way.due for way in self._ways if way.due is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)

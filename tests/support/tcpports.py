"""Ports for servers that are stopped and started again, or that are started by their number."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

WORKERS = 16
"""Workers of pytest-xdist that never get the same port."""


def _candidates() -> Iterator[int]:
    """Ports that the kernel does not give to clients, others for each worker of pytest-xdist."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10_000 + worker % WORKERS, 32_768, WORKERS)
    return itertools.islice(itertools.cycle(ports), os.getpid() % len(ports), None)


_ports = _candidates()


def free_port() -> int:
    """A loopback port that nobody listens on, and that no other test is given."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            # A thread that forks at this moment keeps a copy of the probe until its exec.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("ports have no end")

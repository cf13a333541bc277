"""Real mosquitto brokers on loopback ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest

from .certs import Certs
from .tcpports import free_port
from .waiting import listens

MOSQUITTO = shutil.which(
    "mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
)
"""The broker's executable, if it is installed: Debian puts it where users do not look."""

requires_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto"
)

START = 20.0
"""Seconds that a broker has to start or to stop in."""


class Mosquitto:
    """A broker of one's own; as a context it runs.

    :param directory: for its config and its log.
    :param certs: asks every client for a certificate of this authority; plain TCP without.
    :param options: more lines of config; they come before the listener's, which is the last.
    :param listener: more lines for the listener.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        directory: Path,
        *,
        certs: Certs | None = None,
        options: Sequence[str] = (),
        listener: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        self.port = port or free_port()
        self._config = directory / f"mosquitto-{self.port}.conf"
        self._log = directory / f"mosquitto-{self.port}.log"
        self._lines = [*_general(), *options, f"listener {self.port} {self.host}"]
        self._lines += [*listener, *(_tls(certs) if certs else ())]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything that it has logged so far, over all starts."""
        return self._log.read_text() if self._log.exists() else ""

    def start(self) -> Mosquitto:
        """Return when it listens; always on the same port."""
        assert MOSQUITTO is not None
        self._config.write_text("\n".join([*self._lines, ""]))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START
        while not listens(self.host, self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"mosquitto does not start:\n{self.log}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it, as an operator would."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(START)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End it without a last word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop and start it on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _general() -> list[str]:
    lines = [
        "per_listener_settings false",
        "allow_anonymous true",
        "persistence false",
        "log_type all",
        "log_timestamp false",
        # Otherwise every message above one TLS record waits for a delayed acknowledgement.
        "set_tcp_nodelay true",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # another user could not read the files of a test
    return lines


def tls_listener(port: int, certs: Certs) -> list[str]:
    """Options for another listener, which asks every client for a certificate."""
    return [f"listener {port} {Mosquitto.host}", *_tls(certs)]


def _tls(certs: Certs) -> list[str]:
    return [
        f"cafile {certs.cafile}",
        f"certfile {certs.server_cert}",
        f"keyfile {certs.server_key}",
        "require_certificate true",
    ]

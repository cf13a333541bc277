"""A real HTTP proxy: tinyproxy.

with Tinyproxy(directory, "me:secret") as proxy:
    ...  # proxy.url, with the credentials in it; proxy.asked tells what it was asked for
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Self

import pytest

from .tcpports import free_port
from .waiting import listens, wait_until

TINYPROXY = shutil.which("tinyproxy")

requires_tinyproxy = pytest.mark.skipif(
    TINYPROXY is None, reason="tinyproxy is not installed: apt-get install tinyproxy-bin"
)


class Tinyproxy:
    """A proxy of one's own; as a context it runs. It opens tunnels to every port.

    :param credentials: ``user:password`` that it asks for, both of plain characters.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, credentials: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.bare_url = f"http://{self.host}:{self.port}"
        self.url = f"http://{credentials}@{self.host}:{self.port}" if credentials else self.bare_url
        self._config = directory / "tinyproxy.conf"
        self._log = directory / "tinyproxy.log"
        lines = [
            f"Port {self.port}",
            f"Listen {self.host}",
            "Timeout 600",
            "MaxClients 50",
            f'LogFile "{self._log}"',
            "LogLevel Connect",
            *([f"BasicAuth {credentials.replace(':', ' ')}"] if credentials else []),
        ]
        self._config.write_text("\n".join([*lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything that it has logged so far, over all starts."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def asked(self) -> list[str]:
        """Method and target of every request so far, such as ``CONNECT 127.0.0.1:443``."""
        return re.findall(r"Request \(file descriptor \d+\): (\w+ \S+) HTTP", self.log)

    def start(self) -> Self:
        """Return when it listens; always on the same port."""
        assert TINYPROXY is not None
        self._process = subprocess.Popen(
            [TINYPROXY, "-d", "-c", str(self._config)], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers)
        return self

    def kill(self) -> None:
        """End it without a last word, and every connection through it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        return listens(self.host, self.port)

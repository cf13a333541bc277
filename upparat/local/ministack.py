"""The MiniStack process: its ports, its start and its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from .die_with_parent import dying_with_parent
from .loopback import HOST

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
HANDSHAKE = 2.0
_ATTEMPTS = 3

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens local URLs without a proxy, because a proxy of the environment cannot reach them."""


class LocalAwsError(Exception):
    """The local AWS does not work. The message says why, for the user."""


def fetch(url: str, timeout: float = 5.0) -> bytes:
    """Fetch the body of a local ``url``, within ``timeout`` seconds.

    :raises OSError: if that fails.
    """
    with _direct.open(url, timeout=timeout) as answer:
        body: bytes = answer.read()
    return body


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log. Empty if there is no log."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


def end_group(process: subprocess.Popen[bytes], timeout: float = STOP_TIMEOUT) -> int:
    """End a process that leads its own group, and all of the group. Returns its exit status."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class MiniStack:
    """A MiniStack on free loopback ports, with all its files below ``directory``.

    It enforces policies and expiry as AWS does. ``port`` serves the APIs over plain HTTP,
    ``mqtt_port`` serves MQTT over TLS. Both are set once ``start`` has returned.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.log_file = self.directory / "ministack.log"
        self.port = self.mqtt_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of MiniStack, which leads a process group of its own."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start MiniStack and wait until it answers.

        :raises LocalAwsError: if it does not; the message holds the end of its log.
        """
        for _ in range(_ATTEMPTS):
            # Try again with other ports, because another process may take a free port first.
            self.port, self.mqtt_port = _free_ports()
            try:
                self._spawn()
                if self._wait_until_ready():
                    return
            except BaseException:
                self.stop()
                raise
            self.stop()
        raise LocalAwsError(f"MiniStack does not start:\n{tail(self.log_file)}")

    def stop(self) -> None:
        """End MiniStack. Returns when no process of it runs any more."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process)

    def _spawn(self) -> None:
        scratch = self.directory / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                dying_with_parent([sys.executable, "-m", "upparat.local.loopback"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._environment(scratch),
                start_new_session=True,
            )

    def _environment(self, scratch: Path) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "COVERAGE_", "MINISTACK_"))
        }
        return inherited | {
            "AUTH": "true",
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_PORT": str(self.mqtt_port),
            "MINISTACK_REGION": "us-east-1",
            "PERSIST_STATE": "0",
            "SFTP_ENABLED": "0",
            "S3_DATA_DIR": str(scratch / "s3"),
            "STATE_DIR": str(scratch / "state"),
            "TMPDIR": str(scratch),
            "USE_SSL": "0",
            # No Docker, because MiniStack removes containers that may belong to another MiniStack.
            "DOCKER_HOST": f"unix://{scratch}/no-docker",
        }

    def _wait_until_ready(self) -> bool:
        """Wait for both listeners. Returns false if a port was taken."""
        assert self._process is not None  # noqa: S101
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            listeners = self._listeners()
            if listeners == "listening" and self._shakes_hands():
                return True
            if listeners == "degraded" or self._process.poll() is not None:
                return False
            time.sleep(0.05)
        return False

    def _listeners(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(fetch(f"{self.endpoint}/_ministack/ready", 1)).get("iot_mtls"))
        return ""

    def _shakes_hands(self) -> bool:
        """Try a TLS handshake. Returns whether it succeeded.

        MiniStack makes its certificates during the first handshake, and that one hangs in the
        asyncio of Python 3.11.2 (Debian 12).
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # only a handshake: nothing is sent
        try:
            with socket.create_connection((HOST, self.mqtt_port), HANDSHAKE) as plain:
                context.wrap_socket(plain).close()
        except OSError:
            return False
        return True


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind((HOST, 0))
        second.bind((HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]

"""``upparat publish`` as its users run it, against a local AWS."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from upparat.local import policies

from .waiting import PATIENCE

SECRET = "secret-access-key"


class PublishCommand:
    """Runs the command in an environment of its own.

    :param endpoint: the URL of the local AWS.
    :param home: a directory for the user's settings of AWS, of which there are none.
    """

    def __init__(
        self, endpoint: str, home: Path, access_key: str = "test", secret: str = SECRET
    ) -> None:
        self.endpoint = endpoint
        self.secret = secret
        self.environment = {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": policies.REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def words(self, file: Path, *words: str) -> list[str]:
        """The command line, with all that it needs but the devices."""
        usual = ["--version", "2.0", "--bucket", policies.BUCKET]
        local = ["--role-arn", policies.ROLE_ARN, "--endpoint-url", self.endpoint]
        main = "from upparat.commands.main import main; main()"
        return [sys.executable, "-c", main, "publish", str(file), *usual, *local, *words]

    def run(self, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            self.words(file, *words),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * PATIENCE,
        )
        assert "Traceback" not in ran.stderr
        assert self.secret not in ran.stdout + ran.stderr
        return ran

    def json(self, file: Path, *words: str) -> list[dict[str, Any]]:
        """The objects that it prints; it has to succeed."""
        ran = self.run(file, "--json", *words)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def start(self, file: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(file, *words),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class StallingRelay:
    """Passes connections on to a local AWS inside of the ``with`` block, until so many bytes were
    sent to it. From then on nothing more gets through, as on a line that is gone.

    :ivar stalled: whether that has happened.
    """

    def __init__(self, endpoint: str, limit: int) -> None:
        self._target = endpoint.removeprefix("http://").split(":")
        self._left = limit
        self._lock = threading.Lock()
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.stalled = threading.Event()
        self.endpoint = f"http://127.0.0.1:{self._sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                host, port = self._target
                server = socket.create_connection((host, int(port)))
                self._sockets += [client, server]
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, limited: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if limited:
                    self._count(len(data))
                if self.stalled.is_set():
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _count(self, length: int) -> None:
        with self._lock:
            self._left -= length
            if self._left < 0:
                self.stalled.set()

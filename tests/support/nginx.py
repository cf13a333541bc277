"""A real web server: nginx, for files over HTTP and HTTPS.

with Nginx(directory, certs) as server:
    (server.root / "file").write_bytes(content)
    ...  # http://127.0.0.1:<port>/file, https://127.0.0.1:<tls_port>/file
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from .certs import Certs
from .tcpports import free_port
from .waiting import listens, wait_until

requires_nginx = pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None,
    reason="needs nginx: apt-get install nginx-light",
)

CONFIG = """
daemon off;
worker_processes 1;
error_log stderr warn;
pid {directory}/nginx.pid;
events {{}}
http {{
    log_format answer "$status $bytes_sent";
    access_log {directory}/access.log answer;
    sendfile on;
    {temporary}
    server {{
        listen {address}:{port};
        listen {address}:{tls_port} ssl;
        ssl_certificate {certs.server_cert};
        ssl_certificate_key {certs.server_key};
        root {root};
    }}
}}
"""

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """A server process while it is a context.

    :param address: where it listens.
    :param host: the words that run a command on the host that has this address.
    """

    def __init__(
        self,
        directory: Path,
        certs: Certs,
        address: str = "127.0.0.1",
        host: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.root = directory / "root"
        self.root.mkdir()
        self.root.chmod(0o755)
        self._directory = directory
        self._address, self._host = address, host
        self.port, self.tls_port = free_port(), free_port()
        self._config = directory / "nginx.conf"
        self._config.write_text(
            CONFIG.format(
                directory=directory,
                root=self.root,
                address=address,
                port=self.port,
                tls_port=self.tls_port,
                certs=certs,
                temporary="\n    ".join(
                    f"{kind}_temp_path {directory}/{kind};" for kind in TEMPORARY
                ),
            )
        )

    def url(self, name: str, *, tls: bool = False) -> str:
        scheme, port = ("https", self.tls_port) if tls else ("http", self.port)
        return f"{scheme}://{self._address}:{port}/{name}"

    def statuses(self) -> list[int]:
        """The status of each answer since the last :meth:`forget`, once it has been sent."""
        return [int(line.split()[0]) for line in self._answers_log.read_text().splitlines()]

    def sent(self) -> int:
        """The bytes of these answers, with their heads."""
        return sum(int(line.split()[1]) for line in self._answers_log.read_text().splitlines())

    def forget(self) -> None:
        os.truncate(self._answers_log, 0)

    @property
    def _answers_log(self) -> Path:
        return self._directory / "access.log"

    def __enter__(self) -> Self:
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        with (self._directory / "nginx.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._host, "nginx", "-p", self._directory, "-c", self._config, *user],
                env={**os.environ, "PATH": path},
                stderr=log,
            )
        wait_until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._directory / "nginx.log").read_text()
        if self._host:  # out of our reach: nginx writes this file once it listens
            return (self._directory / "nginx.pid").exists()
        return listens(self._address, self.tls_port)

"""The ``aws`` command of the virtual environment, without its start-up time.

Most of a call's time goes into importing the command line. ``python -m tests.support.awscli
SOCKET`` imports it once; each call of the ``aws`` that ``WarmAws`` puts into a directory is then a
fork of that process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

_STDIO = (0, 1, 2)
_LONGEST_CALL = 1_000_000

_CLIENT = """#!{python} -SE
import json, os, socket, sys
call = json.dumps([sys.argv[1:], os.getcwd(), os.umask(0)])
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({address!r})
socket.send_fds(server, [call.encode()], [0, 1, 2])
sys.exit(int(server.recv(16) or 255))
"""


class WarmAws:
    """Inside of the ``with`` block ``directory`` holds an executable ``aws``.

    :param environment: of all calls, whatever the environment of the caller is.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.environment = environment
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        address = str(self.directory / "aws.socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(address)
            listener.listen()
            command = [sys.executable, "-m", __name__, str(listener.fileno())]
            self._server = subprocess.Popen(
                command, env=self.environment, pass_fds=[listener.fileno()]
            )
        executable = self.directory / "aws"
        executable.write_text(_CLIENT.format(python=sys.executable, address=address))
        executable.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()


# --- in the server's process ---


def serve(listener: socket.socket) -> None:
    from awscli.clidriver import create_clidriver

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    driver = create_clidriver()
    while True:
        connection, _ = listener.accept()
        with connection:
            if os.fork() == 0:
                _answer(driver, connection)


def _answer(driver: Any, connection: socket.socket) -> None:
    """Play the ``aws`` command for the process at the other end; does not return."""
    status = 255
    with contextlib.suppress(BaseException):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        call, descriptors, *_ = socket.recv_fds(connection, _LONGEST_CALL, len(_STDIO))
        arguments, directory, umask = json.loads(call)
        for descriptor, number in zip(descriptors, _STDIO, strict=True):
            os.dup2(descriptor, number)
        os.chdir(directory)
        os.umask(umask)
        status = _status(driver, arguments)
        sys.stdout.flush()
    connection.send(str(status).encode())
    os._exit(0)


def _status(driver: Any, arguments: list[str]) -> int:
    try:
        return int(driver.main(arguments))
    except SystemExit as exit_:
        return int(exit_.code or 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

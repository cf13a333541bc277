"""Starts agents from a process that has imported all that they import: a start costs a fifth.

Most of the time that an agent needs to start goes into imports. An agent from here is a process
like any other: it has its own id, session, directory and environment, and reads its configuration.
Only ``exec`` is left out, so ``/proc`` shows the environment of the server. ``make sweep`` starts
every agent anew.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import queue
import random
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

ROOT = Path(__file__).parent.parent.parent
MESSAGE = 1 << 20

PRELOADED = (
    "twisted.internet.epollreactor",
    "twisted.plugins.upparat_plugin",
    "twisted.scripts.twistd",
    "upparat.control.agent",
    "upparat.control.desk",
    "upparat.control.history",
    "upparat.control.service",
    "upparat.control.status",
    "upparat.download.http",
    "upparat.policy.approvals",
    "upparat.service",
    "upparat.tap",
)
"""What each agent imports, but for the reactor itself, which no process may share."""


class ForkedProcess:
    """A process of the server, with the part of ``subprocess.Popen`` that agents need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._ended = threading.Event()

    def ended(self, status: int) -> None:
        self._status = status
        self._ended.set()

    def poll(self) -> int | None:
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self._status is not None
        return self._status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The server as its client sees it; any thread may call it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forkserver", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._processes: dict[int, ForkedProcess] = {}
        self._started: queue.Queue[ForkedProcess] = queue.Queue()
        self._turn = threading.Lock()
        threading.Thread(target=self._receive, daemon=True).start()

    def start(
        self, command: Sequence[str], directory: Path, output: Path, environment: Mapping[str, str]
    ) -> ForkedProcess:
        """Start ``twistd …``, or ``env NAME=VALUE … python -m MODULE …``.

        :param output: the file that stdout and stderr are appended to.
        """
        request = [*command], str(directory), str(output), dict(environment)
        with self._turn:
            self._socket.send(json.dumps(request).encode())
            return self._started.get()

    def _receive(self) -> None:
        while message := self._socket.recv(MESSAGE):
            pid, status = json.loads(message)
            if status is None:
                process = self._processes[pid] = ForkedProcess(pid)
                self._started.put(process)
            else:
                self._processes.pop(pid).ended(status)


@cache
def fork_server() -> ForkServer:
    """The server of this process, which ends with it."""
    return ForkServer()


# --- the server's own process -----------------------------------------------------------------


def serve(clients: socket.socket) -> Any:
    """Fork for each request, and report each end. Returns in a fork, with its request."""
    with selectors.DefaultSelector() as selector:
        selector.register(clients, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    _report_end(clients, key.data)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    continue
                message = clients.recv(MESSAGE)
                if not message:
                    os._exit(0)
                pid = os.fork()
                if not pid:
                    for each in selector.get_map().values():
                        os.close(each.fd)
                    clients.detach()
                    return json.loads(message)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                clients.send(json.dumps([pid, None]).encode())


def _report_end(clients: socket.socket, pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        clients.send(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode())


def become(command: list[str], directory: str, output: str, environment: Mapping[str, str]) -> None:
    """Do in this process what ``exec`` of the command would do."""
    os.setsid()
    os.chdir(directory)
    appended = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(appended, 1)
    os.dup2(appended, 2)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(environment)
    faulthandler.enable()
    random.seed()
    if command[0] == "env":
        at = command.index("-m") + 1
        os.environ.update(each.partition("=")[::2] for each in command[1 : at - 2])
        sys.argv = command[at:]
        runpy.run_module(command[at], run_name="__main__", alter_sys=True)
    else:
        from twisted.scripts.twistd import run

        sys.argv = command
        run()


def main() -> None:
    sys.path[0] = str(ROOT)
    for name in PRELOADED:
        import_module(name)
    list(getPlugins(IServiceMaker))
    assert "twisted.internet.reactor" not in sys.modules
    gc.freeze()
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()

"""Runs commands in a machine that runs, by the guest agent of QEMU."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

ANSWER = 10.0
"""Seconds for an answer of the guest agent."""
COMMAND = 60.0
"""Seconds that a command may take."""
POLL = 0.2


class Silent(Exception):
    """The guest agent does not answer: it does not run yet, or not any more."""


class Guest:
    """Each call has a connection of its own, because reboots break them off.

    :param path: the Unix socket of the guest agent's channel.
    :param patience: the factor of the time-outs.
    """

    def __init__(self, path: Path, patience: float = 1.0) -> None:
        self.path, self._patience = path, patience

    @property
    def up(self) -> bool:
        """Whether the guest agent answers."""
        try:
            self._ask("guest-ping")
        except Silent:
            return False
        return True

    def run(self, command: str, timeout: float = COMMAND) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root in the guest, outside of the agent's sandbox.

        :param timeout: in seconds, for a machine whose patience is 1.
        :raises Silent: if the guest agent does not answer.
        """
        options = {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True}
        pid = self._ask("guest-exec", **options)["pid"]
        deadline = time.monotonic() + timeout * self._patience
        while time.monotonic() < deadline:
            status = self._ask("guest-exec-status", pid=pid)
            if status["exited"]:
                out, err = (_text(status, f"{name}-data") for name in ("out", "err"))
                return subprocess.CompletedProcess(command, status.get("exitcode", -1), out, err)
            time.sleep(POLL)
        raise Silent(f"'{command}' does not end")

    def _ask(self, command: str, **arguments: object) -> Any:
        request = {"execute": command, "arguments": arguments}
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as channel:
            channel.settimeout(ANSWER * self._patience)
            try:
                channel.connect(str(self.path))
                stream = channel.makefile("rwb")
                token = time.monotonic_ns() % 2**31
                sync = {"execute": "guest-sync-delimited", "arguments": {"id": token}}
                # 0xFF makes the guest agent forget what a broken-off call has left in its parser.
                stream.write(b"\xff" + json.dumps(sync).encode() + b"\n")
                stream.flush()
                while True:
                    line = stream.readline()
                    if not line:
                        raise Silent("the channel is closed")
                    _, mark, answer = line.rpartition(b"\xff")
                    if mark and json.loads(answer).get("return") == token:
                        break
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline() or b"{}")
            except (OSError, ValueError) as error:
                raise Silent(str(error)) from error
        if "return" not in answer:
            raise Silent(str(answer))
        return answer["return"]


def _text(status: dict[str, Any], name: str) -> str:
    return base64.b64decode(status.get(name, "")).decode(errors="replace")

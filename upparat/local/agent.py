"""Plays systemd for the agent of a device: starts it, and starts it again after it has ended."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

from .device import Device
from .die_with_parent import dying_with_parent
from .ministack import LocalAwsError, end_group

MAX_STARTS = 10
STOP_TIMEOUT = 15.0


class Supervisor:
    """Keeps the agent running inside of the ``with`` block, as long as ``revive`` is called."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.device.directory / "agent.log"

    @property
    def output_file(self) -> Path:
        """The output of the agent before it logs, such as problems of its configuration."""
        return self.device.directory / "agent.out"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def revive(self) -> bool:
        """Start the agent again if it has ended. Returns whether it had.

        :raises LocalAwsError: if it ended with another status than 0, or after MAX_STARTS starts.
        """
        status = self._process.poll() if self._process else None
        if status is None:
            return False
        if status or self.starts >= MAX_STARTS:
            raise LocalAwsError(f"the agent ended with status {status}, start {self.starts}")
        self._start()
        return True

    def stop(self) -> int:
        """End the agent. Returns its exit status, or 0 if it does not run."""
        process, self._process = self._process, None
        return end_group(process, STOP_TIMEOUT) if process else 0

    def _start(self) -> None:
        self.starts += 1
        # twistd refuses to start if a killed agent has left its pidfile.
        self.device.pidfile.unlink(missing_ok=True)
        with self.output_file.open("ab") as output:
            self._process = subprocess.Popen(
                dying_with_parent(self.device.agent_command(str(self.log_file))),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.device.directory,
                start_new_session=True,
            )

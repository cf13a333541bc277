"""Runs an update from end to end on this machine: ``python -m upparat.local.demo``."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from upparat.job import ACTION, Status

from .agent import Supervisor
from .aws import ExecutionStatus, LocalAws
from .device import Device
from .ministack import LocalAwsError, tail
from .screen import Screen, follow
from .watch import Watcher

THING = "demo-device"
JOB = "demo-update-2"
VERSION = "2.0.0"
TIMEOUT = 50.0

# A demonstration reports more often than a fleet would pay for.
OPTIONS = {
    "service": {"progress_interval": "0.1"},
    "hooks": {"restart_grace": "2", "restart_timeout": "20"},
}


class Demo:
    """One run of the demonstration, in a scratch directory of its own."""

    def __init__(self, scratch: Path, screen: Screen, size: int) -> None:
        self.scratch = scratch
        self.screen = screen
        self.size = size
        self.device = Device(THING, scratch / "device")
        self.aws = LocalAws(scratch / "aws")
        self.agent = Supervisor(self.device)

    def run(self) -> None:
        """Run the update.

        :raises LocalAwsError: or any other exception, if the update fails.
        """
        with self.aws:
            self.screen.line(f"Local AWS at {self.aws.endpoint}, MQTT on port {self.aws.mqtt_port}")
            self.device = self.aws.create_device(self.device.directory, THING, OPTIONS, hooks=True)
            with self.agent:
                self.screen.line(f"Agent of {THING!r} started (process {self.agent.pid})")
                execution = self._update()
                self._check(execution)
                self._stop_agent()
        self._check_nothing_runs()

    def _update(self) -> ExecutionStatus:
        with Watcher(self.aws.mqtt_port, self.device.cafile, THING) as watcher:
            self._create_job()
            return follow(
                watcher,
                self.screen,
                lambda: self.aws.execution(JOB, THING),
                timeout=TIMEOUT,
                tick=self._revive,
            )

    def _revive(self) -> None:
        if self.agent.revive():
            self.screen.line("  The restart hook has ended the agent: it is started again")

    def _create_job(self) -> None:
        content = os.urandom(self.size)
        self.digest = hashlib.sha256(content).hexdigest()
        file = self.aws.upload("firmware/2.0.0.bin", content)
        document = {
            "action": ACTION,
            "version": VERSION,
            "file": file,
            "sha256": self.digest,
            "size": self.size,
        }
        self.aws.create_job(JOB, document, [THING])
        self.screen.line(f"{self.size / 1e6:.1f} MB uploaded, job {JOB!r} created")

    def _check(self, execution: ExecutionStatus) -> None:
        if execution.status is not Status.SUCCEEDED:
            raise LocalAwsError(f"the job ended {execution.status}: {dict(execution.details)}")
        firmware = (self.device.rootfs / "firmware").read_bytes()
        if hashlib.sha256(firmware).hexdigest() != self.digest:
            raise LocalAwsError("the installed file is not the one that was uploaded")
        self.screen.line(f"Job {execution.status}: {execution.state}")
        self.screen.line("The installed file is byte for byte the one that was uploaded")

    def _stop_agent(self) -> None:
        status = self.agent.stop()
        if status:
            raise LocalAwsError(f"the agent stopped with status {status}")

    def _check_nothing_runs(self) -> None:
        left = processes_below(self.scratch)
        if left:
            raise LocalAwsError(f"still running: {left}")
        self.screen.line("Nothing is left running")

    def explain(self) -> None:
        """Print the ends of the logs."""
        for log in (self.agent.output_file, self.agent.log_file, self.aws.log_file):
            self.screen.line(f"\n--- the end of {log} ---\n{tail(log, 30)}")


def processes_below(directory: Path) -> list[int]:
    """List other processes that run in a directory, or whose command line names it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            inside = (process / "cwd").readlink().is_relative_to(directory)
        except OSError:
            continue  # the process has ended, or belongs to another user
        if (inside or str(directory) in words) and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration. Returns the exit status: 0 if the update succeeded, 1 otherwise."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scratch = Path(tempfile.mkdtemp(prefix="upparat-demo-"))
    demo = Demo(scratch, Screen(sys.stdout), arguments.size * 1_000_000)
    started = time.monotonic()
    try:
        return _run(demo, started)
    finally:
        if arguments.keep:
            print(f"The files are in {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def _run(demo: Demo, started: float) -> int:
    try:
        demo.run()
    except KeyboardInterrupt:
        demo.screen.line("Interrupted: everything is stopped")
        return 130
    except Exception as error:
        demo.explain()
        demo.screen.line(f"\nThe demonstration failed: {error or type(error).__name__}")
        return 1
    demo.screen.line(
        f"Version {VERSION} is installed and verified: {time.monotonic() - started:.1f} seconds"
        f" in all, agent started {demo.agent.starts} times"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m upparat.local.demo",
        description="Run one update from end to end: local AWS, real agent, example hooks.",
    )
    parser.add_argument("--size", type=int, default=20, help="megabytes of the file (20)")
    parser.add_argument("--keep", action="store_true", help="keep the scratch directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())

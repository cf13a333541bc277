"""Runs two updates from end to end on this machine: ``python -m upparat.local.demo``.

The second one is a delta. It is left out if the program that makes deltas is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from upparat.job import Status
from upparat.publish.deltafile import MISSING, can_make
from upparat.publish.document import job_document
from upparat.publish.firmware import examine

from .agent import Supervisor
from .aws import ExecutionStatus, LocalAws
from .device import Device
from .files import upload, upload_delta
from .images import DemoImage, make_images
from .ministack import LocalAwsError, tail
from .screen import Screen, follow
from .watch import Watcher

THING = "demo-device"
TIMEOUT = 50.0
SIZE = 42
"""Megabytes of the image: 40 MiB."""

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
        self.version = ""
        self.device = Device(THING, scratch / "device")
        self.aws = LocalAws(scratch / "aws")
        self.agent = Supervisor(self.device)

    def run(self) -> None:
        """Run the updates.

        :raises LocalAwsError: or any other exception, if one fails.
        """
        with self.aws:
            self.screen.line(f"Local AWS at {self.aws.endpoint}, MQTT on port {self.aws.mqtt_port}")
            self.device = self.aws.create_device(self.device.directory, THING, OPTIONS, hooks=True)
            with self.agent:
                self.screen.line(f"Agent of {THING!r} started (process {self.agent.pid})")
                self._updates()
                self._stop_agent()
        self._check_nothing_runs()

    def _updates(self) -> None:
        first, second = make_images(self.scratch / "images", self.size)
        delta = can_make()
        self._install(first, delta=delta)
        if not delta:
            self.screen.line(f"The second update, a delta, is left out: {MISSING}")
            return
        self._install(second, delta=True)
        self.screen.line(self._saved(second))

    def _install(self, release: DemoImage, *, delta: bool) -> None:
        self._check(release, self._update(release, delta=delta))
        self.version = release.version

    def _update(self, release: DemoImage, *, delta: bool) -> ExecutionStatus:
        with Watcher(self.aws.mqtt_port, self.device.cafile, THING) as watcher:
            self._create_job(release, delta=delta)
            return follow(
                watcher,
                self.screen,
                lambda: self.aws.execution(release.job_id, THING),
                timeout=TIMEOUT,
                tick=self._revive,
            )

    def _revive(self) -> None:
        if self.agent.revive():
            self.screen.line("  The restart hook has ended the agent: it is started again")

    def _create_job(self, release: DemoImage, *, delta: bool) -> None:
        job_id, firmware = release.job_id, examine(release.file)
        place = upload(self.aws, job_id, firmware)
        zck = upload_delta(self.aws, job_id, release.file, self.screen) if delta else None
        document = job_document(
            place.placeholder, release.version, firmware, delta=zck.placeholder if zck else ""
        )
        self.aws.create_job(job_id, document, [THING])
        self.screen.line(f"{firmware.size / 1e6:.1f} MB uploaded, job {job_id!r} created")

    def _check(self, release: DemoImage, execution: ExecutionStatus) -> None:
        if execution.status is not Status.SUCCEEDED:
            raise LocalAwsError(f"the job ended {execution.status}: {dict(execution.details)}")
        if self.device.firmware.read_bytes() != release.file.read_bytes():
            raise LocalAwsError("the installed file is not the one that was uploaded")
        self.screen.line(f"Job {execution.status}: {execution.state}")
        self.screen.line("The installed file is byte for byte the one that was uploaded")

    def _saved(self, release: DemoImage) -> str:
        """What the second update has cost, as the agent has counted it."""
        log = self.agent.log_file.read_text(encoding="utf-8", errors="replace")
        told = rf"{release.job_id}: the delta took \d+ of (\d+) bytes from seeds, and fetched (\d+)"
        found = re.search(told, log)
        if found is None:
            raise LocalAwsError("the agent did not use the delta")
        size, fetched = map(int, found.groups())
        return (
            f"The second update fetched {fetched / 1e6:.1f} of {size / 1e6:.1f} MB:"
            f" {100 * fetched / size:.1f} %"
        )

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
    """Run the demonstration. Returns the exit status: 0 if the updates succeeded, 1 otherwise."""
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
        f"Version {demo.version} is installed and verified:"
        f" {time.monotonic() - started:.1f} seconds in all, agent started {demo.agent.starts} times"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m upparat.local.demo",
        description="Run two updates from end to end: local AWS, real agent, example hooks.",
    )
    parser.add_argument("--size", type=int, default=SIZE, help=f"megabytes of the image ({SIZE})")
    parser.add_argument("--keep", action="store_true", help="keep the scratch directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())

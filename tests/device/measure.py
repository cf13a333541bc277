"""Measures the agent in the machine: ``python -m tests.device.measure [--runs N]``.

Its start with cold caches beside the imports alone, what it keeps resident while it is idle, and a
download with SHA-256 beside curl. "s" are seconds of the clock in the guest, "s of QEMU" those of a
processor that QEMU uses: other programs hardly change the latter. Needs root and the images.
docs/device.md has figures.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.agent import FLOOR
from upparat.config.settings import ServiceSettings
from upparat.job import ACTION
from upparat.local.aws import LocalAws
from upparat.local.policies import BUCKET

from .world import MIB, OUTSIDE, DeviceWorld

SIZE = 64 * MIB
IDLE = 60.0
"""Seconds before the memory is read."""
OPTIONS = {
    "service": {"progress_interval": str(ServiceSettings().progress_interval)},
    "hooks": {"install": "/usr/bin/false"},
}
"""The file is no image. So each job ends after the download."""
NOW = "cut -d ' ' -f 1 /proc/uptime"
IMPORTS = f"""
{FLOOR}
status = open('/proc/self/status').read()
print(status.partition('VmRSS:')[2].split()[0])
"""


class Measured(DeviceWorld):
    """A device that has curl on its data partition, and takes its time."""

    def run(self, command: str, timeout: float = 600.0) -> str:
        return super().run(command, timeout)

    def _data(self, options: Mapping[str, Mapping[str, str]]) -> Path:
        data = super()._data(options)
        copy_curl(self.hardware.build / "curl", self.hardware.debian, data / "curl")
        return data


def copy_curl(root: Path, architecture: str, target: Path) -> None:
    """Copy curl and its libraries, which no image has, out of a root of Debian."""
    environment = {**os.environ, "ARCHITECTURE": architecture, "VARIANT": "extract"}
    subprocess.run(["packaging/debian-root", str(root), "curl"], check=True, env=environment)
    target.mkdir()
    for path in [root / "usr/bin/curl", *root.glob("usr/lib/*-linux-gnu/*.so*")]:
        if path.is_file():
            shutil.copy2(path, target)


def timed(world: DeviceWorld, what: str, command: str) -> tuple[str, list[tuple[str, float]]]:
    """Run a command, and return what it prints and how long it took.

    It prints to the console, because to ask the guest again and again would take time as well.
    """
    console, before = len(world.machine.console), world.machine.worked
    script = f'begin=$({NOW}); printed=$({command}); echo "measured: $begin $({NOW}) $printed"'
    world.run(f"({script}) >/dev/console 2>&1 &")
    found = r"measured: (\S+) (\S+) ?(.*)\r?\n"
    world.machine.wait_for(found, console)
    seconds = world.machine.worked - before
    [(begin, end, printed)] = re.findall(found, world.machine.console[console:])
    wall = float(end) - float(begin)
    return printed, [(f"{what}, s of QEMU", seconds), (f"{what}, s", wall)]


def journal(world: DeviceWorld, pattern: str) -> float:
    """When the agent last logged this, by the monotonic clock of the guest."""
    text = world.run("journalctl --unit=upparat --output=short-monotonic")
    return float(re.findall(f"(?m)^\\[ *([\\d.]+)\\] .*{pattern}", text)[-1])


def pid(world: DeviceWorld) -> str:
    return world.run("systemctl show --property=MainPID --value upparat").strip()


def resident(world: DeviceWorld) -> float:
    """MiB."""
    status = world.run(f"cat /proc/{pid(world)}/status")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def started(world: DeviceWorld) -> float:
    """Seconds from the exec of the agent to its connection."""
    name = "ExecMainStartTimestampMonotonic"
    begin = world.run(f"systemctl show --property={name} --value upparat")
    return journal(world, "Connected to ") - int(begin) / 1e6


def stop(world: DeviceWorld) -> float:
    """Stop the agent and forget what was read from the disk; return ``worked`` from then on."""
    world.run("systemctl stop upparat; sync; echo 3 >/proc/sys/vm/drop_caches")
    return world.machine.worked


def imports(world: DeviceWorld) -> Iterator[tuple[str, float]]:
    stop(world)
    kib, times = timed(world, "imports", f'python3 -c "{IMPORTS}"')
    yield from times
    yield "imports, MiB resident", int(kib) / 1024


def start(world: DeviceWorld) -> Iterator[tuple[str, float]]:
    before = stop(world)
    since = len(world.machine.console)
    world.run("systemctl start --no-block upparat")
    world.machine.wait_for("Connected to ", since)
    yield "start, s of QEMU", world.machine.worked - before
    yield "start, s", started(world)


def download(world: DeviceWorld, job_id: str, content: bytes) -> Iterator[tuple[str, float]]:
    file = world.aws.upload(job_id, content)
    digest = hashlib.sha256(content).hexdigest()
    document = {"action": ACTION, "version": job_id, "file": file, "sha256": digest}
    since = len(world.machine.console)
    world.aws.create_job(job_id, document, [world.thing])
    world.machine.wait_for(f"{job_id}: \\S+ -> download", since)
    before = world.machine.worked
    world.machine.wait_for(f"{job_id}: download ->", since)
    yield "download, s of QEMU", world.machine.worked - before
    ended = world.wait_for_end(job_id)
    assert ended.state == "installation_hook_failed", ended
    begin, end = (
        journal(world, f"{job_id}: {step}") for step in (r"\S+ -> download", "download ->")
    )
    yield "download, s", end - begin


def curl(world: DeviceWorld, key: str, content: bytes) -> Iterator[tuple[str, float]]:
    signed = world.aws.s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key})
    url = signed.replace("127.0.0.1", OUTSIDE).replace("localhost", OUTSIDE)
    fetch = "./ld-linux* --library-path . ./curl --silent --show-error --fail --output /data/file"
    printed, times = timed(
        world, "curl and sync", f"cd /data/curl && {fetch} '{url}' && sync /data/file && echo whole"
    )
    assert "whole" in printed, world.machine.console[-2000:]
    yield from times
    found, times = timed(world, "sha256sum", "sha256sum /data/file")
    assert found.split()[0] == hashlib.sha256(content).hexdigest()
    yield from times
    world.run("rm /data/file")


def samples(world: DeviceWorld, runs: int) -> Iterator[tuple[str, float]]:
    world.machine.start()
    world.machine.wait_for("Connected to ")
    world.wait_until_up()
    yield "start at boot, s", started(world)
    for run in range(runs):
        yield from imports(world)
        yield from start(world)
        before = world.machine.worked
        time.sleep(IDLE)
        yield "idle for a minute, s of QEMU", world.machine.worked - before
        yield "idle, MiB resident", resident(world)
        job_id = f"job-{run}"
        content = random.Random(run).randbytes(SIZE)
        yield from download(world, job_id, content)
        yield from curl(world, job_id, content)
        yield "load outside", os.getloadavg()[0]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.device.measure")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args(argv)
    found: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="upparat-device-") as name,
        LocalAws(Path(name) / "aws") as aws,
    ):
        world = Measured(aws, Path(name) / "device", OPTIONS)
        with world.machine:
            for what, value in samples(world, arguments.runs):
                print(f"{time.strftime('%H:%M:%S')} {what}: {value:.1f}", flush=True)
                found.setdefault(what, []).append(value)
    print(f"| {world.hardware.debian} | median | least | most |\n|---|---|---|---|")
    for what, values in found.items():
        print(
            f"| {what} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

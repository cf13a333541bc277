"""The whole agent as a process: ``python -m benchmarks.agent [--runs N] [--idle SECONDS]``.

Its cold start, what it costs while it has nothing to do, what a job costs besides the file and the
hooks, and how that grows with the queue. ``--write`` keeps the tables in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.downloads import machine, tell
from tests.simulator.store import LISTED
from tests.support.agent import Agent
from tests.support.rawbroker import (
    CONNECT,
    PINGREQ,
    PINGRESP,
    PUBLISH,
    SUBSCRIBE,
    Peer,
    RawBroker,
    connack,
    packet,
    puback,
    publish,
    suback,
)
from tests.support.world import THING, World
from upparat.config.settings import BrokerSettings, ServiceSettings

FLOOR = "import twisted.internet.reactor, twisted.application.service, paho.mqtt.client, automat"
"""What any agent of this kind has to import."""

BURST = 1000
"""Notifications that come at once."""

PENDING = 15
"""Jobs that are created at once."""

HOOKS = {"download": "/bin/true", "install": "/bin/true", "ready": "/bin/true"}


# --- a broker that knows when --------------------------------------------------------------------


class Clocked:
    """Answers one agent that has no jobs; ``subscribed`` is when it first asked for a topic."""

    def __init__(self) -> None:
        self.subscribed = 0.0
        self.asked = threading.Event()
        self.lists: list[int] = []

    def serve(self, peer: Peer) -> None:
        while True:
            first, rest = peer.read()
            kind = first & 0xF0
            if kind == CONNECT:
                peer.send(connack())
            elif kind == SUBSCRIBE:
                self.subscribed = self.subscribed or time.perf_counter()
                peer.send(suback(rest))
            elif kind == PUBLISH:
                self._list(peer, rest, len(packet(first, rest)))
            elif kind == PINGREQ:
                peer.send(packet(PINGRESP))

    def _list(self, peer: Peer, rest: bytes, size: int) -> None:
        """Answer a request for the pending jobs; count the bytes of both and of their PUBACKs."""
        end = 2 + int.from_bytes(rest[:2], "big")
        topic, mid, payload = rest[2:end].decode(), rest[end : end + 2], rest[end + 2 :]
        token = json.loads(payload)["clientToken"]
        lists = {"timestamp": 1, "clientToken": token, "inProgressJobs": [], "queuedJobs": []}
        answer = publish(f"{topic}/accepted", json.dumps(lists).encode(), 1)
        taken = puback(int.from_bytes(mid, "big"))
        peer.send(taken, answer)
        self.lists.append(size + len(answer) + 2 * len(taken))
        self.asked.set()


def _agent(directory: Path, port: int, *, console: bool = False) -> Agent:
    """One with the settings of a device that has none of its own."""
    places = {"download_location": directory / "downloads", "state_dir": directory / "state"}
    broker = {"host": "127.0.0.1", "port": port, "thing_name": THING}
    agent = Agent(directory, {"service": places, "broker": broker}, console=console)
    agent.forked = False  # a device shares no imports
    return agent


# --- cold start ----------------------------------------------------------------------------------


def cold_start(directory: Path, *, console: bool = False) -> float:
    """Seconds from the start of the process to its first SUBSCRIBE."""
    clocked = Clocked()
    with RawBroker(clocked.serve) as broker:
        agent = _agent(directory, broker.port, console=console)
        begin = time.perf_counter()
        with agent:
            assert clocked.asked.wait(30)
    return clocked.subscribed - begin


def floor() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", FLOOR], check=True)
    return time.perf_counter() - begin


def cold_starts(directory: Path, runs: int) -> Iterator[str]:
    ways: dict[str, Callable[[], float]] = {
        "`twistd upparat`": lambda: cold_start(directory / "twistd"),
        "`upparat`": lambda: cold_start(directory / "console", console=True),
        "imports alone": floor,
    }
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            seconds = way()
            if run:  # the first one warms up
                samples[name].append(seconds)
    yield "| | time | ratio to the imports |"
    yield "|---|---|---|"
    for name, own in samples.items():
        ratios = [one / base for one, base in zip(own, samples["imports alone"], strict=True)]
        yield f"| {name} | {spread(own, 's')} | {statistics.median(ratios):.2f} |"


def spread(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.3f} {unit} ({min(values):.3f} to {max(values):.3f})"


# --- idle ----------------------------------------------------------------------------------------


def resident(pid: int) -> float:
    """MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu(pid: int) -> float:
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(directory: Path, seconds: float) -> Iterator[str]:
    clocked = Clocked()
    with RawBroker(clocked.serve) as broker, _agent(directory, broker.port) as agent:
        assert clocked.asked.wait(30)
        time.sleep(min(5.0, seconds))  # until what begins has begun
        before = cpu(agent.pid)
        time.sleep(seconds)
        share = (cpu(agent.pid) - before) / seconds
        memory = resident(agent.pid)
    pings, polls = 3600 / BrokerSettings().keepalive, 3600 / ServiceSettings().poll_interval
    ping = len(packet(PINGREQ)) + len(packet(PINGRESP))
    size = pings * ping + polls * clocked.lists[0]
    yield "| resident | CPU | MQTT packets in an hour | MQTT bytes in an hour |"
    yield "|---|---|---|---|"
    yield (
        f"| {memory:.1f} MiB | {share:.3%} of one over {seconds:g} s "
        f"| {2 * pings + 4 * polls:.0f} | {size:.0f} |"
    )


# --- jobs ----------------------------------------------------------------------------------------


class Device:
    """A device that is updated again and again with an empty file, by hooks that do nothing."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory, {"service": {"log_level": "WARNING"}}, size=0)
        self.world.agent.forked = False
        version = directory / "version"
        version.write_text("#!/bin/sh\necho 2.0\n")
        version.chmod(0o755)
        sections = {name: dict(options) for name, options in self.world.agent.sections.items()}
        sections["hooks"] = {**HOOKS, "version": version, "restart": "/bin/true"}
        sections["hooks"]["restart_grace"] = 0
        self.world.agent.configure(sections)
        self._count = 0

    def job(self, count: int = 1) -> float:
        """Seconds that a job takes, of so many that are created at once."""
        begin = time.perf_counter()
        ends = [self.world.cloud.wait_for_end(job_id) for job_id in self._create(count)]
        seconds = time.perf_counter() - begin
        assert {end.state for end in ends} == {"complete_soft_restart"}, ends
        return seconds / count

    def _create(self, count: int) -> list[str]:
        """With ``force``, since the version runs already."""
        job_ids = [f"ours-{self._count + each}" for each in range(count)]
        self._count += count
        file = self.world.files.add("/empty", b"")
        document = {"action": "upparat-update", "version": "2.0", "file": file.url, "force": True}
        for job_id in job_ids:
            self.world.cloud.create_job(job_id, document)
        return job_ids

    def foreign(self, count: int) -> None:
        for number in range(count):
            self.world.cloud.create_job(f"foreign-{number}", {"action": "others"})

    def notify(self, count: int) -> None:
        notice = {"timestamp": 1, "jobs": {}}
        for _ in range(count):
            self.world.cloud.publish("notify", notice)

    def __enter__(self) -> Device:
        self.world.__enter__()
        self.world.agent.start()
        self.job()  # the first one imports what downloads need
        return self

    def __exit__(self, *_: object) -> None:
        self.world.agent.stop()
        self.world.__exit__()


def jobs(directory: Path, count: int) -> Iterator[str]:
    with Device(directory) as device:
        own = [device.job() for _ in range(count)]
    yield "| a job with an empty file and hooks that do nothing | jobs a second |"
    yield "|---|---|"
    yield f"| {spread(own, 's')} | {1 / statistics.median(own):.2f} |"


def queues(directory: Path, runs: int, burst: int = BURST, pending: int = PENDING) -> Iterator[str]:
    """Each beside a job with nothing in its way, in the same run."""
    yield "| a job | time | ratio | resident |"
    yield "|---|---|---|---|"
    with Device(directory) as device:
        pid = device.world.agent.pid
        alone = [device.job() for _ in range(runs)]
        yield f"| alone | {spread(alone, 's')} | 1 | {resident(pid):.1f} MiB |"
        crowded = []
        for _ in range(runs):
            device.notify(burst)
            crowded.append(device.job())
        yield _beside(f"{burst} notifications before it", crowded, alone, resident(pid))
        queued = [device.job(pending) for _ in range(runs)]
        yield _beside(f"each of {pending} jobs created at once", queued, alone, resident(pid))
        device.foreign(LISTED - 1)
        behind = [device.job() for _ in range(runs)]
        yield _beside(f"{LISTED - 1} jobs of others in front", behind, alone, resident(pid))


def _beside(name: str, own: Sequence[float], alone: Sequence[float], memory: float) -> str:
    ratio = statistics.median(own) / statistics.median(alone)
    return f"| {name} | {spread(own, 's')} | {ratio:.2f} | {memory:.1f} MiB |"


# --- all of it -----------------------------------------------------------------------------------


def bench(directory: Path, runs: int, seconds: float) -> Iterator[str]:
    """Markdown, line by line."""
    yield "\n### Cold start\n"
    yield from cold_starts(directory / "start", runs)
    yield "\n### Idle\n"
    yield from idle(directory / "idle", seconds)
    yield "\n### A job\n"
    yield from jobs(directory / "jobs", 4 * runs)
    yield "\n### A long queue\n"
    yield from queues(directory / "queue", runs)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds")
    parser.add_argument("--write", action="store_true", help="keep the tables in the docs")
    arguments = parser.parse_args(argv)
    head = f"{machine()}; medians of {arguments.runs} runs, of jobs {4 * arguments.runs}."
    with tempfile.TemporaryDirectory(prefix="upparat-bench-") as directory:
        lines = bench(Path(directory), arguments.runs, arguments.idle)
        tell("agent", itertools.chain([head], lines), keep=arguments.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())

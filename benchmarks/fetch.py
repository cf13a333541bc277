"""A process that fetches one file and tells what that has cost, as JSON: for benchmarks.

``python -m benchmarks.fetch upparat|upparat-at-first|urllib URL DIRECTORY SHA256 [CAFILE]``

Time and CPU count from the moment at which an agent that runs already would begin. At first, it has
still to import the HTTP client.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

TICK = 0.01
"""Seconds between two ticks that show how responsive the reactor is."""


def peak() -> int:
    """The most memory that this process has had, in KiB.

    ``ru_maxrss`` would count what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


class Meter:
    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def tell(self, **more: object) -> None:
        facts = {
            "wall": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
            "resident": peak(),
        }
        print(json.dumps({**facts, **more}))


def with_upparat(
    url: str, directory: Path, sha256: str, cafile: str, *, at_first: bool = False
) -> None:
    """The agent's own downloader on the agent's reactor, verified and synced."""
    from twisted.internet.task import LoopingCall

    from tests.support.downloads import Heard, make_job
    from tests.support.reactor import reactor
    from upparat.config.settings import DownloadSettings
    from upparat.download.client import Client
    from upparat.download.downloader import Downloader
    from upparat.reactor import prepare_reactor

    prepare_reactor(reactor)
    settings = DownloadSettings(allow_http=True, cafile=cafile)
    downloader = Downloader(reactor, settings, directory)
    if not at_first:
        Client(reactor, settings).load()
    late: list[float] = []
    due = [0.0]

    def tick() -> None:
        now = time.perf_counter()
        late.append(max(0.0, now - due[0]))
        due[0] = now + TICK

    def over(name: str) -> None:
        if name == "progressed":
            return
        assert name == "downloaded", downloader.events
        meter.tell(late=late)
        reactor.stop()

    def begin() -> None:
        due[0] = time.perf_counter() + TICK
        LoopingCall(tick).start(TICK, now=False)
        downloader.start(make_job(url, sha256=sha256))

    downloader.events = Heard(over)
    reactor.callWhenRunning(begin)
    meter = Meter()
    reactor.run()


def with_urllib(url: str, directory: Path, sha256: str, cafile: str) -> None:
    """As Upparat 1.x did it: 100 KiB at a time, each synced, nothing verified."""
    meter = Meter()
    context = ssl.create_default_context(cafile=cafile) if cafile else None
    with (
        urllib.request.urlopen(url, context=context) as answer,  # noqa: S310
        (directory / "file").open("wb") as out,
    ):
        while chunk := answer.read(100 * 1024):
            out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    meter.tell()


METHODS: dict[str, Callable[[str, Path, str, str], None]] = {
    "upparat": with_upparat,
    "upparat-at-first": partial(with_upparat, at_first=True),
    "urllib": with_urllib,
}


def main() -> None:
    method, url, directory, sha256, *cafile = sys.argv[1:]
    METHODS[method](url, Path(directory), sha256, cafile[0] if cafile else "")


if __name__ == "__main__":
    main()

"""A process that brings one file by a delta and tells what that has cost, as JSON: for benchmarks.

``python -m benchmarks.fetch_delta FILE_URL DELTA_URL DIRECTORY SHA256 SEED TABLES``

It counts as :mod:`benchmarks.fetch` does. ``TABLES`` is a directory that knows the chunks of the
seed.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from tests.support.downloads import Heard, make_job
from tests.support.reactor import reactor
from upparat.config.settings import DeltaSettings, DownloadSettings
from upparat.delta.client import HttpLines
from upparat.delta.shortcut import DeltaShortcut
from upparat.delta.unpack import load_zstd
from upparat.download.client import Client
from upparat.download.downloader import Downloader
from upparat.job import Job
from upparat.reactor import prepare_reactor

from .fetch import Meter


def job_of(file: str, delta: str, sha256: str) -> Job:
    job = make_job(file, sha256=sha256)
    document = {"action": "upparat-update", "version": "2.0", "file": file, "delta": delta}
    execution = dataclasses.replace(job.execution, document=document)
    return dataclasses.replace(job, execution=execution)


def main() -> None:
    file, delta, directory, sha256, seed, tables = sys.argv[1:]
    prepare_reactor(reactor)
    settings = DownloadSettings(allow_http=True)
    shortcut = DeltaShortcut(
        DeltaSettings(seeds=(Path(seed),)),
        Path(tables),
        Path(directory),
        HttpLines(reactor, settings),
        identifies=lambda _: True,
        patience=2,
    )
    downloader = Downloader(reactor, settings, Path(directory), shortcut=shortcut)
    Client(reactor, settings).load()
    load_zstd()

    def over(name: str) -> None:
        if name == "progressed":
            return
        assert name == "downloaded", downloader.events
        meter.tell()
        reactor.stop()

    downloader.events = Heard(over)
    reactor.callWhenRunning(lambda: downloader.start(job_of(file, delta, sha256)))
    meter = Meter()
    reactor.run()


if __name__ == "__main__":
    main()

"""A downloader on the real reactor, and how its downloads end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from tests.support.downloads import Heard
from tests.support.reactor import reactor, until
from tests.support.waiting import PATIENCE
from upparat.config.settings import DownloadSettings
from upparat.download.downloader import Downloader
from upparat.job import Job, State

CONTENT = bytes(range(256)) * 800
SETTINGS = DownloadSettings(
    connect_timeout=10.0, idle_timeout=10.0, max_attempts=5, allow_http=True
)


@contextlib.contextmanager
def clean_log() -> Iterator[list[LogEvent]]:
    """The log meanwhile, in which no secret and no traceback may show."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    yield events
    globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    assert "secret" not in "".join(formatEvent(event) for event in events)
    assert not [event for event in events if "log_failure" in event]


class Fetcher:
    """A downloader without back-off, and what it has told."""

    def __init__(self, directory: Path, settings: DownloadSettings = SETTINGS) -> None:
        self.directory = directory
        self.heard = Heard()
        self.downloader = Downloader(reactor, settings, directory, random=lambda: 0.0)
        self.downloader.events = self.heard

    async def fetch(self, job: Job) -> tuple[Any, ...]:
        """Start it, and wait for how it ends."""
        self.heard.events.clear()
        self.downloader.start(job)
        await until(lambda: self.heard.outcome)
        assert self.heard.outcome is not None
        return self.heard.outcome

    async def fetch_well(self, job: Job, content: bytes = CONTENT) -> None:
        """It must arrive byte for byte, with the last progress before the end."""
        path = self.directory / job.job_id
        assert await self.fetch(job) == ("downloaded", str(path))
        assert self.heard.events[-2] == ("progressed", len(content), len(content))
        assert path.read_bytes() == content
        assert not list(self.directory.glob("*.part"))

    async def fail(self, job: Job) -> tuple[State, str]:
        outcome = await self.fetch(job)
        assert outcome[0] == "download_failed"
        return outcome[1], outcome[2]


@contextlib.asynccontextmanager
async def fetching(
    directory: Path, settings: DownloadSettings = SETTINGS
) -> AsyncIterator[Fetcher]:
    """A fetcher that is shut down at the end, when nothing of it may be left on the reactor."""
    before = _on_reactor()
    fetcher = Fetcher(directory, settings)
    try:
        yield fetcher
    finally:
        await fetcher.downloader.shut_down().addTimeout(PATIENCE, reactor)
    assert [new - old for new, old in zip(_on_reactor(), before, strict=True)] == [set(), set()]


def _on_reactor() -> tuple[set[Any], set[Any]]:
    return set(reactor.getDelayedCalls()), set(reactor.getReaders() + reactor.getWriters())

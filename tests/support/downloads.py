"""Jobs to download, and an ear for what the downloader tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from upparat.job import ExecutionKey, Job, JobExecution, State, Status
from upparat.ports import STREAM, DownloadEvents
from upparat.streaming import StreamConsumer

KEY = ExecutionKey("job", 1, 1700000000)


def make_job(file: str, key: ExecutionKey = KEY, **values: Any) -> Job:
    execution = JobExecution(key=key, status=Status.IN_PROGRESS, version_number=1)
    return Job(execution=execution, version="2.0", file=file, **values)


def write_later(path: Path, content: bytes) -> None:
    """Write to a file as another program, at a time that the file system tells from the last."""
    last = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == last:
        with path.open("r+b") as stream:
            stream.write(content)


class Heard:
    """Events in order; ``also`` is called with each name after it was noted."""

    def __init__(self, also: Callable[[str], object] = lambda _: None) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.also = also

    def progressed(self, downloaded: int, total: int | None, reused: int = 0) -> None:
        self._note("progressed", downloaded, total, *([reused] if reused else []))

    def downloaded(self, path: str) -> None:
        self._note("downloaded", path)

    def stream_ready(self, place: str = STREAM) -> None:
        self._note("stream_ready", *([] if place == STREAM else [place]))

    def url_expired(self, reason: str) -> None:
        self._note("url_expired", reason)

    def download_failed(self, state: State, message: str) -> None:
        self._note("download_failed", state, message)

    def _note(self, *event: object) -> None:
        self.events.append(event)
        self.also(str(event[0]))

    @property
    def outcome(self) -> tuple[Any, ...] | None:
        """The last event, unless that is progress."""
        last = self.events[-1] if self.events else None
        return last if last and last[0] != "progressed" else None


def _are_events(heard: Heard) -> DownloadEvents:
    return heard


class FakeStreamConsumer:
    """A hook that reads what it gets; ``told`` is what else it was told, and after how much."""

    def __init__(self) -> None:
        self.written = b""
        self.told: list[str] = []
        self.room: Deferred[None] | None = None
        self.gone: Deferred[None] = Deferred()

    def write(self, data: bytes) -> Deferred[None]:
        self.written += data
        return self.room or succeed(None)

    def finish_stdin(self) -> None:
        self.told.append(f"conclude {len(self.written)}")

    def fail(self) -> Deferred[None]:
        self.told.append(f"fail {len(self.written)}")
        return self.gone

    def run_again(self, reason: str) -> None:
        self.told.append("run_again")


def _is_consumer(consumer: FakeStreamConsumer) -> StreamConsumer:
    return consumer

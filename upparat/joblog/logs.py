"""The logs of jobs: an observer of the agent's log that keeps what concerns one execution."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogPublisher,
    globalLogPublisher,
)
from zope.interface import implementer

from upparat.job import ExecutionKey

from .directory import LogDirectory, UnfitKey
from .lines import format_line, is_wanted
from .segments import BoundedLog, read_log

Subscriber = Callable[[str], object]
"""Is called with each line, without its end."""


@implementer(ILogObserver)
class JobLogs:
    """Writes a log for each execution, whatever ``log_level`` is.

    An event belongs to the execution in its field ``execution``. Without that field it belongs to
    the execution in hand, or to the last one, by its field ``job_id``: a job's reports come a
    little after its end. An event with neither field belongs to the execution in hand.

    Trouble with the disk is logged once for each execution, and otherwise ignored.

    :param in_hand: returns the execution that the agent works on.
    :param heading: the first line of each log.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorFromThreads,
        directory: Path,
        in_hand: Callable[[], ExecutionKey | None],
        heading: str,
        publisher: LogPublisher = globalLogPublisher,
    ) -> None:
        self._reactor = reactor
        self._directory = LogDirectory(directory)
        self._in_hand = in_hand
        self._heading = heading
        self._publisher = publisher
        self._last: ExecutionKey | None = None
        self._open: BoundedLog | None = None
        self._failed: ExecutionKey | None = None
        self._subscribers: list[Subscriber] = []
        self._busy = False

    def start(self) -> None:
        """Observe the log."""
        self._publisher.addObserver(self)

    def stop(self) -> None:
        """Observe the log no more."""
        self._publisher.removeObserver(self)
        self._close()

    # --- for readers ---

    def executions(self) -> list[tuple[str, int]]:
        """The job id and the execution number of each log that is kept, newest last."""
        try:
            return [(name.key.job_id, name.key.number) for name in self._directory.names()]
        except OSError as error:
            self._complain_of_reading(error)
            return []

    def read(self, job_id: str | None = None) -> str:
        """The log of a job's newest execution.

        :param job_id: ``None`` for the newest of all.
        :raises LookupError: if there is none.
        """
        try:
            names = self._directory.names()
            matching = [name for name in names if job_id in (None, name.key.job_id)]
            if matching:
                return read_log(self._directory, matching[-1]).decode(errors="replace")
        except OSError as error:
            self._complain_of_reading(error)
        raise LookupError(f"there is no log of {job_id or 'any job'}")

    def content(self, key: ExecutionKey) -> bytes:
        """The log of an execution as it would be uploaded; empty if there is none."""
        try:
            name = self._directory.find(key)
            return read_log(self._directory, name) if name is not None else b""
        except OSError as error:
            self._complain_of_reading(error)
            return b""

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with each line that is written from now on, of any execution.

        :returns: a function that ends it.
        """
        self._subscribers.append(subscriber)
        return lambda: self._unsubscribe(subscriber)

    def _unsubscribe(self, subscriber: Subscriber) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    # --- ILogObserver ---

    def __call__(self, event: LogEvent) -> None:
        if not is_wanted(event):
            return
        if threading.current_thread() is threading.main_thread():
            self._take(event)
        else:
            take: Any = self._take
            self._reactor.callFromThread(take, event)

    def _take(self, event: LogEvent) -> None:
        if self._busy:  # an event of the writing itself
            return
        key = self._owner(event)
        if key is not None and (text := format_line(event)):
            self._keep(key, text)

    def _keep(self, key: ExecutionKey, text: str) -> None:
        self._busy = True
        try:
            self._publish(text)
            self._add(key, text)
        finally:
            self._busy = False

    def _owner(self, event: LogEvent) -> ExecutionKey | None:
        """The execution that an event belongs to."""
        named = event.get("execution")
        if isinstance(named, ExecutionKey):
            return named
        job_id, in_hand = event.get("job_id"), self._in_hand()
        if in_hand is not None and job_id in (None, in_hand.job_id):
            return in_hand
        return self._last if self._last is not None and self._last.job_id == job_id else None

    # --- writing ---

    def _add(self, key: ExecutionKey, text: str) -> None:
        if key != self._last:
            self._close()
            self._last = key
        try:
            self._write(key, text)
        except (OSError, UnfitKey) as problem:
            self._complain(key, problem)

    def _write(self, key: ExecutionKey, text: str) -> None:
        if self._open is None:
            name = self._directory.find(key)
            self._open = BoundedLog(self._directory, name or self._directory.create(key))
            if name is None:
                self._open.append(self._first_line(key).encode())
        self._open.append(text.encode(errors="replace"))

    def _first_line(self, key: ExecutionKey) -> str:
        text = f"{self._heading}: job {key.job_id}, execution {key.number}"
        return format_line(
            {
                "log_namespace": self.log.namespace,
                "log_format": "{text}",
                "text": text,
                "log_time": time.time(),
            }
        )

    def _publish(self, text: str) -> None:
        for subscriber in list(self._subscribers):
            try:
                for line in text.splitlines():
                    subscriber(line)
            except Exception:
                self._unsubscribe(subscriber)
                self.log.failure("A reader of a job's log has raised")

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def _complain(self, key: ExecutionKey, problem: Exception) -> None:
        self._close()
        if self._failed != key:
            self._failed = key
            self.log.warn(
                "{job_id}: its log cannot be written: {problem}",
                job_id=key.job_id,
                problem=str(problem),
            )

    def _complain_of_reading(self, error: OSError) -> None:
        self.log.warn("A job's log cannot be read: {error}", error=str(error))

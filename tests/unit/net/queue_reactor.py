"""A reactor that keeps what threads call until the test runs it."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from typing import Any, cast

from twisted.internet.interfaces import IReactorFromThreads

from tests.support.waiting import PATIENCE


class QueueReactor:
    def __init__(self) -> None:
        self._calls: Queue[Callable[[], object]] = Queue()

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
        self._calls.put(lambda: call(*args))

    def turn(self) -> None:
        """Run one call; wait for it if no thread has made it yet."""
        self._calls.get(timeout=PATIENCE)()

    @property
    def as_reactor(self) -> IReactorFromThreads:
        return cast("IReactorFromThreads", self)

"""Calls in threads that do not keep the process alive: an interrupt ends it at once."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    call: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Iterator[_Result]:
    """Call a function with each item, and yield the results as they come.

    The first call that raises ends it, and so does who stops asking. Calls that have begun go on.
    """
    waiting = deque(items)
    ended: queue.SimpleQueue[_Result | BaseException] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                ended.put(call(item))
            except BaseException as error:
                ended.put(error)

    count = len(waiting)
    for _ in range(min(workers, count)):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(count):
            result = ended.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        waiting.clear()

"""Waits that end, for calls that nothing can interrupt: name lookups, and disks that hang."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

_Value = TypeVar("_Value")


def within(seconds: float, call: Callable[[], _Value]) -> _Value:
    """Call in a thread of its own, and return or raise what the call does.

    :raises TimeoutError: if it takes longer. The thread is left behind, and keeps no process up.
    """
    results: SimpleQueue[tuple[_Value | None, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            results.put((call(), None))
        except Exception as error:
            results.put((None, error))

    threading.Thread(target=work, name="doctor", daemon=True).start()
    try:
        value, error = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError(errno.ETIMEDOUT, f"no answer in {seconds:.0f} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]

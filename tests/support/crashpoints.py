"""Runs the agent and lets it die at one point: ``python -m tests.support.crashpoints twistd …``.

A point is just before or after something that could be cut off: a change of state, a write of the
record or a download, a message, the start of a hook. The environment says which:

- ``CRASH_POINTS``: a file that the name of each point is appended to;
- ``CRASH_AT``: the number of the point, from 1 on, at which the process kills itself. Nothing else
  that the process does then is done: no buffer is flushed, no child told.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.scripts.twistd import run

from upparat.hooks.child import Child
from upparat.hooks.streamed import StreamedChild
from upparat.mqtt.service import MqttService
from upparat.service import UpparatService

AT = int(os.environ.get("CRASH_AT", "0"))
POINTS = Path(os.environ["CRASH_POINTS"])

_count = 0


def point(name: str) -> None:
    global _count
    _count += 1
    with POINTS.open("a") as stream:
        stream.write(name + "\n")
    if _count == AT:
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, original: Callable[..., Any], name: Callable[..., str]) -> None:
    """Make a point before and one after each call of a function of a class or a module."""

    def wrapper(*arguments: Any, **more: Any) -> Any:
        called = name(*arguments)
        point(f"before {called}")
        result = original(*arguments, **more)
        point(f"after {called}")
        return result

    setattr(owner, original.__name__, wrapper)


def around_states() -> None:
    """A change is traced before what it does is done; that is done a turn of the reactor later."""
    original = UpparatService._moved

    def moved(self: UpparatService, old: str, name: str, new: str) -> None:
        point(f"before {old} -> {new}")
        original(self, old, name, new)
        after: Any = reactor
        after.callLater(0, point, f"after {old} -> {new}")

    UpparatService._moved = moved  # type: ignore[method-assign]


def main() -> None:
    around_states()
    around(os, os.fsync, lambda *_: "fsync")
    around(os, os.fdatasync, lambda *_: "fdatasync")
    around(os, os.replace, lambda source, target, **_: f"rename to {Path(target).name}")
    around(os, os.unlink, lambda path, **_: f"removal of {Path(path).name}")
    publish, start = MqttService.publish, Child.start
    around(MqttService, publish, lambda _, topic, *__: f"publish {topic.rpartition('/')[2]}")
    around(Child, start, lambda _, __, argv, *___: f"start of {Path(os.fsdecode(argv[0])).name}")
    around(StreamedChild, StreamedChild.feed, lambda *_: "bytes for stdin")
    around(StreamedChild, StreamedChild.finish_stdin, lambda *_: "the end of stdin")
    around(StreamedChild, StreamedChild._release, lambda *_: "the release of the guard")
    sys.argv = sys.argv[1:]
    run()


if __name__ == "__main__":
    main()

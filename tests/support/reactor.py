"""The reactor of the test run. Its type depends on the platform, so that nobody can state it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater

from .waiting import PATIENCE

reactor: Any = _reactor


async def until(condition: Callable[[], object]) -> None:
    """Let the reactor run until the condition holds."""
    deadline = reactor.seconds() + PATIENCE
    while not condition():
        assert reactor.seconds() < deadline, "it does not happen"
        await deferLater(reactor, 0.005)

"""``upparat status``: shows what the agent does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from upparat.control.client import EX_UNAVAILABLE, AskingFailed, ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind
from upparat.control.render import clock, line, rows
from upparat.control.screen import StatusScreen

from . import asking

TICK = 1.0
"""Seconds between two drawings, so that times go on while nothing else changes."""

SILENCE = 30.0
"""Seconds without a message after which the agent counts as hung: it sends one every 5 s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with each change")


def run(arguments: argparse.Namespace) -> None:
    """Print the status, once or at each change."""
    with asking.failures_exit():
        kind = RequestKind.FOLLOW if arguments.follow else RequestKind.STATUS
        with ControlConnection(asking.find_socket(arguments), ControlRequest(kind)) as connection:
            show = _shower(arguments)
            if arguments.follow:
                _follow(connection, show)
            else:
                show(next(connection.messages()), 0.0)


def _shower(arguments: argparse.Namespace) -> Callable[[dict[str, Any], float], None]:
    """Return what shows a status of a certain age."""
    if arguments.json:
        return _JsonLines().show
    screen = StatusScreen(sys.stdout)
    if not arguments.follow:
        return lambda status, age: screen.print(rows(status, age))
    if screen.live:
        return lambda status, age: screen.draw(rows(status, age))
    return _Lines().show


def _follow(connection: ControlConnection, show: Callable[[dict[str, Any], float], None]) -> None:
    status: dict[str, Any] | None = None
    heard = time.monotonic()
    while True:
        try:
            status = connection.message(TICK)
            heard = time.monotonic()
        except TimeoutError:
            if time.monotonic() - heard > SILENCE:
                raise AskingFailed("the agent does not answer", EX_UNAVAILABLE) from None
        if status is not None:
            show(status, time.monotonic() - heard)


class _JsonLines:
    """Prints each message once."""

    _last: object = None

    def show(self, status: dict[str, Any], age: float) -> None:
        if status is not self._last:
            self._last = status
            print(json.dumps(status), flush=True)


class _Lines:
    """Prints a line for each change."""

    _last = ""

    def show(self, status: dict[str, Any], age: float) -> None:
        text = line(status)
        if text != self._last:
            self._last = text
            print(f"{clock(status['time'])}: {text}", flush=True)

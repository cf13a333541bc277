"""``upparat log``: prints the log of a job."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from upparat.control.client import ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind
from upparat.text import printable

from . import asking

FOREVER = 3600.0
"""Seconds to wait for a line; then the wait begins anew."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument(
        "job", nargs="?", metavar="JOB", help="the job's id (default: the last job)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with each new line")


def run(arguments: argparse.Namespace) -> None:
    """Print the lines of the log that are there, or go on with those that come."""
    request = ControlRequest(RequestKind.LOG, arguments.job, arguments.follow)
    with (
        asking.failures_exit(),
        ControlConnection(asking.find_socket(arguments), request) as connection,
    ):
        # A pager reads slowly. The agent does not wait for it.
        lines = _coming(connection) if arguments.follow else list(_there(connection))
        for text in lines:
            print(printable(text), flush=arguments.follow)


def _there(connection: ControlConnection) -> Iterator[str]:
    for message in connection.messages():
        yield str(message.get("line", ""))


def _coming(connection: ControlConnection) -> Iterator[str]:
    while True:
        try:
            yield str(connection.message(FOREVER).get("line", ""))
        except TimeoutError:
            continue

"""``upparat check-now``: lets the agent ask AWS for the jobs at once."""

from __future__ import annotations

import argparse

from upparat.control.client import ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind

from . import asking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print that the agent asks, or why it does not."""
    request = ControlRequest(RequestKind.CHECK_NOW)
    with (
        asking.failures_exit(),
        ControlConnection(asking.find_socket(arguments), request) as connection,
    ):
        next(connection.messages())
        print("The agent asks AWS for jobs.")

"""What the verbs share that tell the agent a decision."""

from __future__ import annotations

import argparse

from upparat.control.client import ControlConnection
from upparat.control.protocol import ControlRequest
from upparat.text import printable

from . import asking


def decide(arguments: argparse.Namespace, request: ControlRequest) -> None:
    """Tell the agent, and print what holds now, or why it refuses."""
    with (
        asking.failures_exit(),
        ControlConnection(asking.find_socket(arguments), request) as connection,
    ):
        message = next(connection.messages())
        print(printable(str(message.get("text", ""))))


def seconds(text: str) -> float:
    """Read a duration of the command line.

    :raises argparse.ArgumentTypeError: if it is none.
    """
    from upparat.policy.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None

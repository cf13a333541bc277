"""``upparat pause``: begins no step of any job for a while."""

from __future__ import annotations

import argparse

from upparat.control.protocol import ControlRequest, RequestKind

from . import asking, deciding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument(
        "time",
        nargs="?",
        metavar="TIME",
        type=deciding.seconds,
        help="such as 30m or 2h (default: until upparat resume, a week at the most)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print how long the agent is paused, or why it refuses."""
    deciding.decide(arguments, ControlRequest(RequestKind.PAUSE, seconds=arguments.time))

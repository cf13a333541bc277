"""``upparat defer``: begins no step of the job for a while."""

from __future__ import annotations

import argparse

from upparat.control.protocol import ControlRequest, RequestKind

from . import asking, deciding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument("job", metavar="JOB", help="the job's id")
    parser.add_argument("time", metavar="TIME", type=deciding.seconds, help="such as 30m or 2h")


def run(arguments: argparse.Namespace) -> None:
    """Print how long the job is deferred, or why the agent refuses."""
    request = ControlRequest(RequestKind.DEFER, arguments.job, seconds=arguments.time)
    deciding.decide(arguments, request)

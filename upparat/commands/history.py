"""``upparat history``: shows the jobs that are over."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upparat.control.client import EX_UNAVAILABLE, AskingFailed, ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind
from upparat.control.render import past_job

from . import asking

if TYPE_CHECKING:
    from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, one job a line")


def run(arguments: argparse.Namespace) -> None:
    """Print the jobs, the newest first: as the agent knows them, or else from its directory."""
    with asking.failures_exit():
        for job in _jobs(arguments):
            print(json.dumps(job) if arguments.json else past_job(job))


def _jobs(arguments: argparse.Namespace) -> Sequence[dict[str, Any]]:
    try:
        request = ControlRequest(RequestKind.HISTORY)
        with ControlConnection(asking.find_socket(arguments), request) as connection:
            jobs: list[dict[str, Any]] = next(connection.messages())["jobs"]
            return jobs
    except AskingFailed as failed:
        if failed.status != EX_UNAVAILABLE or not arguments.config:
            raise
        return _stored(_state_dir(arguments.config))


def _state_dir(config: str) -> Path:
    from upparat.tap import load_or_exit  # imports the agent, which the socket does without

    return load_or_exit(config, "", must_run=True).service.state_dir


def _stored(directory: Path) -> Sequence[dict[str, Any]]:
    """Read the history of an agent that does not run."""
    from upparat.control.history import NAME, read_history
    from upparat.control.status import past

    try:
        return [dict(past(job)) for job in read_history(directory)]
    except (OSError, ValueError) as problem:
        raise AskingFailed(f"{directory / NAME} cannot be read: {problem}", 1) from None

"""``upparat install``: lets the agent install a file of the device, as it installs a job."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from upparat.bundle.archive import read_bundle
from upparat.bundle.document import check_document
from upparat.control.client import (
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    AskingFailed,
    ControlConnection,
    NoAgent,
)
from upparat.control.protocol import ControlRequest, InstallRequest, RequestKind
from upparat.control.render import past_job

from . import asking, updating
from .progress import InstallProgress, Status, begun

EXIT_FAILED = 3
"""The exit status if the install was begun, and has not succeeded."""

SILENCE = 30.0
"""Seconds without a message after which the agent counts as hung: it sends one every 5 s."""

RESTART = 300.0
"""Seconds for an agent to come back that was restarted by its own update."""

RETRY = 1.0

LOST = "the agent is gone; when it runs again, 'upparat install --wait' says how it has ended"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="a bundle; with --version any file"
    )
    updating.add_arguments(parser)
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument(
        "--wait", action="store_true", help="without FILE: wait for the last install to end"
    )
    waiting.add_argument("--no-wait", action="store_true", help="only hand the file over")


def run(arguments: argparse.Namespace) -> None:
    """Hand the file over, and wait for the end. The exit status says how it has ended.

    :raises argparse.ArgumentError: if a file or an argument cannot be used.
    """
    if (arguments.file is None) != arguments.wait:
        raise argparse.ArgumentError(None, "name a FILE, or --wait for the last install")
    order = None
    if arguments.file is not None:
        with updating.refusals():
            order = _order(arguments)
    with asking.failures_exit():
        past = _install(arguments, order)
        if past is not None:
            print(past_job(past))
    if past is not None and past["status"] != "SUCCEEDED":
        raise SystemExit(EXIT_FAILED)


def _install(arguments: argparse.Namespace, order: InstallRequest | None) -> Status | None:
    """Return the install as a job of the history; ``None`` if nobody waits for its end."""
    try:
        return _by_agent(arguments, order)
    except NoAgent as failed:
        if arguments.no_wait or not arguments.config:
            hint = "start it" if arguments.no_wait else "start it, or do without it by -c FILE"
            raise NoAgent(f"{failed}: {hint}") from None
    from .alone import install_alone  # imports the agent

    return install_alone(arguments.config, order)


def _by_agent(arguments: argparse.Namespace, order: InstallRequest | None) -> Status | None:
    job_id = _hand_over(arguments, order) if order is not None else None
    return None if arguments.no_wait else _Watch(arguments, job_id).end()


def _order(arguments: argparse.Namespace) -> InstallRequest:
    path = Path(os.path.abspath(arguments.file))
    if arguments.version:
        return InstallRequest(str(path), 0, updating.document_of(arguments))
    for name in ("signature", "minisig", "certificate", "meta", "force_update"):
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: needs --version; a bundle has its own")
    try:
        with path.open("rb") as stream:
            bundle = read_bundle(stream)
        check_document(bundle.document)
    except ValueError as error:
        raise ValueError(f"{arguments.file} is no bundle: {error}") from None
    return InstallRequest(str(path), bundle.offset, dict(bundle.document))


def _hand_over(arguments: argparse.Namespace, order: InstallRequest) -> str:
    """Return the id of the job that the agent has made of the order."""
    request = ControlRequest(RequestKind.INSTALL, order=order)
    with ControlConnection(asking.find_socket(arguments), request) as connection:
        return begun(next(connection.messages()), order)


class _Watch:
    """Follows an install to its end, over restarts of the agent."""

    def __init__(self, arguments: argparse.Namespace, job_id: str | None) -> None:
        self._path = asking.find_socket(arguments)
        self._progress = InstallProgress(job_id)
        self._heard = job_id is not None
        self._lost: float | None = None

    def end(self) -> Status:
        """Block until the install has ended, and return it as a job of the history."""
        while True:
            try:
                return self._follow()
            except AskingFailed as failed:
                if failed.status != EX_UNAVAILABLE or not self._heard:
                    raise
                self._bear_loss()

    def _follow(self) -> Status:
        with ControlConnection(self._path, ControlRequest(RequestKind.FOLLOW)) as connection:
            while True:
                try:
                    status = connection.message(SILENCE)
                except TimeoutError:
                    raise AskingFailed("the agent does not answer", EX_TEMPFAIL) from None
                self._heard, self._lost = True, None
                past = self._progress.take(status)
                if past is not None:
                    return past

    def _bear_loss(self) -> None:
        now = time.monotonic()
        if self._lost is None:
            self._lost = now
        if now - self._lost > RESTART:
            raise AskingFailed(LOST, EX_TEMPFAIL)
        time.sleep(RETRY)

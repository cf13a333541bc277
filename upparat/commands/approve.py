"""``upparat approve``: lets a step begin that waits for consent."""

from __future__ import annotations

import argparse

from upparat.control.protocol import STEPS, ControlRequest, RequestKind

from . import asking, deciding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[STEP] [JOB]",
        help=f"{', '.join(STEPS)} (default: the step that waits); the job's id (default: the job "
        "in hand)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print what is approved, or why the agent refuses."""
    words = list(arguments.words)
    step = words.pop(0) if words and words[0] in STEPS else None
    job = words.pop(0) if words else None
    if words:
        raise argparse.ArgumentError(None, f"too many words; STEP is one of {', '.join(STEPS)}")
    deciding.decide(arguments, ControlRequest(RequestKind.APPROVE, job, step=step))

"""``upparat resume``: ends a pause."""

from __future__ import annotations

import argparse

from upparat.control.protocol import ControlRequest, RequestKind

from . import asking, deciding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asking.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print that the pause is over, or why the agent refuses."""
    deciding.decide(arguments, ControlRequest(RequestKind.RESUME))

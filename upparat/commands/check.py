"""``upparat check``: reads the configuration file, and starts nothing."""

from __future__ import annotations

import argparse
import sys

from .configured import add_arguments as add_arguments
from .configured import settings_of


def run(arguments: argparse.Namespace) -> None:
    """Print that the file is fine, or its problems. Run it as the user of the agent."""
    from upparat.private import NotPrivate, PrivateDirectory

    service = settings_of(arguments).service
    problems = []
    for directory in (service.state_dir, service.download_location):
        try:
            PrivateDirectory(directory).check()
        except NotPrivate as problem:
            problems.append(problem)
            print(f"upparat: {problem}", file=sys.stderr)
    if problems:
        raise SystemExit(2)
    print(f"{arguments.config or 'the defaults'}: no problem found")

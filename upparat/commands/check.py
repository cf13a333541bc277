"""``upparat check``: reads the configuration file, and starts nothing."""

from __future__ import annotations

import argparse

from .configured import add_arguments as add_arguments
from .configured import settings_of


def run(arguments: argparse.Namespace) -> None:
    """Print that the file is fine, or its problems."""
    settings_of(arguments)
    print(f"{arguments.config or 'the defaults'}: no problem found")

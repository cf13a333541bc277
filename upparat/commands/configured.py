"""The arguments of the verbs that read the configuration file, and its settings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from upparat import __version__

if TYPE_CHECKING:
    from upparat.config.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the agent."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    parser.add_argument("-t", "--thing-name", default="", help="overrides [broker] thing_name")
    parser.add_argument("-v", "--verbose", action="store_true", help="log everything")
    parser.add_argument("--version", action="version", version=f"upparat {__version__}")


def settings_of(arguments: argparse.Namespace, *, must_run: bool = False) -> Settings:
    """Load the settings, or print every problem and exit with status 2.

    :param must_run: accept the problems that an agent can run with.
    """
    from upparat.tap import load_or_exit  # imports the agent, which other verbs do without

    return load_or_exit(arguments.config, arguments.thing_name, must_run=must_run)

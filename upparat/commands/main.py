"""The command line of ``upparat``: finds the verb and reads its arguments."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from upparat import __version__
from upparat.tap import load_or_exit

from .check import check


def main(argv: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT, then exit with status 0; exit with 2 for a wrong file."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["sign"]:
        from .sign import main as sign  # a device has no need of it

        sign(words[1:])
        return
    arguments = _parser().parse_args(words)
    settings = load_or_exit(arguments.config, arguments.thing_name)
    if arguments.command == "check":
        check(arguments.config)
        return
    if arguments.verbose:
        service = dataclasses.replace(settings.service, log_level="DEBUG")
        settings = dataclasses.replace(settings, service=service)
    from .run import run  # the global reactor comes with it

    run(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="upparat",
        description="Follow AWS IoT Jobs and install the updates that they name.",
        epilog="'upparat sign --help' tells how files are signed.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "check"),
        default="run",
        help="run the agent (the default), or only check the configuration file",
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    parser.add_argument("-t", "--thing-name", default="", help="overrides [broker] thing_name")
    parser.add_argument("-v", "--verbose", action="store_true", help="log everything")
    parser.add_argument("--version", action="version", version=f"upparat {__version__}")
    return parser

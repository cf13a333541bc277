"""The ``upparat`` command: the same service as the ``twistd`` plugin's, a check of its file, and
the signing of firmware (:mod:`upparat.sign`)."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import cast

from twisted.application import app
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.logger import globalLogBeginner

from . import __version__
from .config import Settings
from .log import make_observer
from .tap import load_or_exit, make_agent


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
        print(f"{arguments.config or 'the defaults'}: no problem found")
        return
    if arguments.verbose:
        service = dataclasses.replace(settings.service, log_level="DEBUG")
        settings = dataclasses.replace(settings, service=service)
    run(settings)


def run(settings: Settings) -> None:
    """Run the agent on the global reactor, logging to stderr."""
    observer = make_observer(settings.service.log_level, sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    base = cast("ReactorBase", reactor)
    application = Application("upparat")
    make_agent(base, settings).setServiceParent(application)
    app.startApplication(application, False)
    base.run()
    if base._exitSignal is not None:
        os.abort()


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

"""The command line of ``upparat``: finds the verb, and lets its module do the rest.

A module of a verb has ``add_arguments(parser)`` and ``run(arguments)``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from . import configured


class Verb(NamedTuple):
    """``configured``: the verb has the arguments of the agent, and may follow them."""

    help: str
    configured: bool = False


VERBS = {
    "run": Verb("run the agent (the default)", configured=True),
    "check": Verb("only check the configuration file", configured=True),
    "status": Verb("show what the agent does"),
    "log": Verb("print the log of a job"),
    "history": Verb("show the jobs that are over"),
    "check-now": Verb("let the agent ask AWS for jobs at once"),
    "approve": Verb("let a step of the job begin that waits for consent"),
    "defer": Verb("begin no step of the job for a while"),
    "pause": Verb("begin no step of any job for a while"),
    "resume": Verb("end a pause"),
    "doctor": Verb("try what goes wrong in the field, and say what to do"),
    "delta": Verb("make a delta of a file, or say what one would cost"),
    "install": Verb("install a file of this device, as the agent installs a job"),
    "bundle": Verb("put a file and its job document into one file, to be installed by hand"),
    "sign": Verb("sign a file and its version, and print what goes into the job document"),
    "publish": Verb("upload a file, and make the job that installs it"),
}
"""The verbs; each names a module, which is imported only when it is asked for."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb. Exit with status 2 if it refuses its arguments or the configuration file."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in VERBS:
        verb = words[0]
        module = _module(verb)
        parser = argparse.ArgumentParser(prog=f"upparat {verb}", description=_help(verb))
        module.add_arguments(parser)
        arguments = parser.parse_args(words[1:])
    else:
        parser = _parser()
        arguments = parser.parse_args(words)
        module = _module(arguments.verb)
    try:
        module.run(arguments)
    except argparse.ArgumentError as error:
        parser.error(str(error))


def _module(verb: str) -> Any:
    return import_module(f"{__package__}.{verb.replace('-', '_')}")


def _help(verb: str) -> str:
    words = VERBS[verb].help
    return f"{words[0].upper()}{words[1:]}."


def _parser() -> argparse.ArgumentParser:
    """The parser of a command line that does not begin with a verb."""
    lines = [f"  {verb:10} {row.help}" for verb, row in VERBS.items()]
    parser = argparse.ArgumentParser(
        prog="upparat",
        description="Follow AWS IoT Jobs and install the updates that they name.",
        epilog="\n".join(["verbs:", *lines, "", "'upparat VERB --help' prints its arguments."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = [verb for verb, row in VERBS.items() if row.configured]
    parser.add_argument(
        "verb", nargs="?", choices=verbs, default="run", help="what to do: see below"
    )
    configured.add_arguments(parser)
    return parser

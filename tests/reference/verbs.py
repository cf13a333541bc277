"""The verbs of ``upparat`` with their arguments, read from the parsers of the command itself."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from upparat.commands.main import VERBS


@dataclass(frozen=True)
class Argument:
    """One argument of a verb. ``flags`` is empty for one without a name, ``value`` for a switch."""

    flags: tuple[str, ...]
    value: str
    help: str
    is_file: bool
    required: bool


@dataclass(frozen=True)
class VerbReference:
    name: str
    help: str
    arguments: tuple[Argument, ...]


def verbs() -> Sequence[VerbReference]:
    """Return all verbs, in the order of the command's own help."""
    return [
        VerbReference(name, f"{row.help[0].upper()}{row.help[1:]}.", arguments_of(name))
        for name, row in VERBS.items()
    ]


def arguments_of(verb: str) -> tuple[Argument, ...]:
    parser = argparse.ArgumentParser(prog=f"upparat {verb}")
    import_module(f"upparat.commands.{verb.replace('-', '_')}").add_arguments(parser)
    # argparse has no public list of them; each generator of completions reads this one.
    return tuple(map(_argument, parser._actions))


def _argument(action: argparse.Action) -> Argument:
    switch = action.nargs == 0
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return Argument(
        flags=tuple(action.option_strings),
        value="" if switch else name.replace("_", "-"),
        help=(action.help or "").replace("%%", "%"),
        is_file=not switch and (action.type is Path or name in ("FILE", "PATH")),
        required=action.required,
    )

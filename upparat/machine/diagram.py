"""Draws the machine: ``python -m upparat.machine.diagram [--check]``, in a checkout.

The table of the machine itself is the source of ``docs/machine.dot``; Graphviz makes
``docs/machine.svg`` of that. Automat's own drawing needs a package more, changes its order from run
to run, and shows every input that a state ignores.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from . import IGNORED, machine

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
_ANY = "any state"
_SEVERAL = 3

_STYLE = """\
    graph [rankdir=TB, ranksep=0.6, nodesep=0.5, fontname="Helvetica"];
    node [shape=box, style="rounded,filled", fillcolor="#eef3fa", color="#4a6484",
          fontname="Helvetica", fontsize=14, margin="0.15,0.08"];
    edge [color="#4a6484", fontname="Helvetica", fontsize=11, arrowsize=0.8];"""
_PALE = ', color="#a9b8c9", fontcolor="#6b7f95"'


class Transition(NamedTuple):
    """``name`` is the input's; inputs of the machine to itself start with ``_``."""

    old: str
    name: str
    new: str


def transitions() -> list[Transition]:
    """Every transition of the machine but those of :data:`IGNORED`, sorted."""
    ignored = {(state, taken.__name__) for state, inputs in IGNORED.items() for taken in inputs}
    table = machine.__automat_automaton__.allTransitions()
    found = (Transition(old.name, name, new.name) for old, name, new, _ in table)
    return sorted(each for each in found if (each.old, each.name) not in ignored)


def dot(table: Sequence[Transition]) -> str:
    """The table as Graphviz's DOT.

    Inputs of a state that lead nowhere else are listed inside of it, below a line. What leads from
    every other state to the same one is drawn once, what leads from several in a paler colour.
    """
    return "\n".join(
        [
            "// Made by `make diagram`; do not edit.",
            "digraph machine {",
            _STYLE,
            *_nodes(table),
            *_edges(table),
            "}\n",
        ]
    )


def _nodes(table: Sequence[Transition]) -> Iterator[str]:
    loops = defaultdict(list)
    for old, name, new in table:
        if old == new:
            loops[old].append(name)
    for state in _order(table):
        yield f"    {state} [label={_label(state, loops[state])}];"


def _label(state: str, inputs: Iterable[str]) -> str:
    rows = [f"<TR><TD><B>{state}</B></TD></TR>"]
    if names := "<BR/>".join(sorted(inputs)):
        rows.append(f'<HR/><TR><TD><FONT POINT-SIZE="10">{names}</FONT></TD></TR>')
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3">{"".join(rows)}</TABLE>>'


def _edges(table: Sequence[Transition]) -> Iterator[str]:
    order, origins = _order(table), _origins(table)
    everywhere = {way for way, old in origins.items() if old == set(order) - {way[1]}}
    labels = defaultdict(list)
    for old, name, new in table:
        if old != new and (name, new) not in everywhere:
            labels[old, new].append(name)
    for old, new in sorted(labels, key=lambda edge: (order.index(edge[0]), order.index(edge[1]))):
        names = labels[old, new]
        style = "" if any(len(origins[name, new]) < _SEVERAL for name in names) else _PALE
        yield f'    {old} -> {new} [label="{_lines(names)}"{style}];'
    if everywhere:
        yield f'    "{_ANY}" [shape=plaintext, style="", fontsize=11];'
    for name, new in sorted(everywhere):
        yield f'    "{_ANY}" -> {new} [label="{_lines([name])}", style=dashed];'


def _order(table: Sequence[Transition]) -> list[str]:
    """The states by their distance from the first one, so that the picture flows downwards."""
    order = [machine.__automat_automaton__.initialState.name]
    for state in order:
        found = {new for old, _, new in table if old == state}
        order += sorted(found - set(order))
    return order


def _origins(table: Sequence[Transition]) -> dict[tuple[str, str], set[str]]:
    """Where an input leads to a state from, by input and that state."""
    origins = defaultdict(set)
    for old, name, new in table:
        origins[name, new].add(old)
    return origins


def _lines(names: Iterable[str]) -> str:
    """One name a line, pushed away from the edge that it belongs to."""
    return "".join(rf" {name} \l" for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    """Write both files, or only tell whether the committed DOT is that of the machine."""
    parser = argparse.ArgumentParser(prog="python -m upparat.machine.diagram", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is outdated")
    parser.add_argument("--directory", type=Path, default=DOCS, help="(docs of the checkout)")
    arguments = parser.parse_args(argv)
    file: Path = arguments.directory / "machine.dot"
    text = dot(transitions())
    if arguments.check:
        return _check(file, text)
    return _write(file, text)


def _check(file: Path, text: str) -> int:
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return 0
    _complain(f"{file} is not the machine's: make diagram")
    return 1


def _write(file: Path, text: str) -> int:
    program = shutil.which("dot")
    if program is None:
        _complain("the program dot is missing: apt-get install graphviz")
        return 1
    file.write_text(text, encoding="utf-8")
    picture = file.with_suffix(".svg")
    return subprocess.run([program, "-Tsvg", "-o", picture, file], check=False).returncode


def _complain(what: str) -> None:
    print(f"upparat.machine.diagram: {what}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())

"""Draws the house: ``python -m tests.house [--check]``, in a checkout.

Reads the imports of ``upparat/`` and prints each wing with what it imports, from the roof down, and
each module with its floor. Graphviz makes ``docs/house.svg`` of the wings.
"""

from __future__ import annotations

import argparse
import ast
import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import upparat

PACKAGE = Path(upparat.__file__).parent
PICTURE = PACKAGE.parent / "docs" / "house.dot"
Graph = Mapping[str, frozenset[str]]
"""What imports what, by name."""

_STYLE = """\
    graph [rankdir=TB, ranksep=0.45, nodesep=0.35, fontname="Helvetica"];
    node [shape=box, style="rounded,filled", fillcolor="#eef3fa", color="#4a6484",
          fontname="Helvetica", fontsize=14, margin="0.15,0.08"];
    edge [color="#8aa0b8", arrowsize=0.7];"""


# --- modules and their imports ------------------------------------------------------------------


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """All modules of these rooms, or all there are, with their syntax."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not rooms or any(within(name, room) for room in rooms):
            yield name, parsed(path)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


@functools.cache
def imports(name: str, tree: ast.AST) -> Sequence[tuple[str, ast.stmt]]:
    """Every absolute name that is imported, wherever in the module, with its statement."""
    return list(_imports(name, tree))


def _imports(name: str, tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    is_package = (PACKAGE.parent / Path(*name.split("."))).is_dir()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - 1 if is_package else node.level
                base = ".".join([*name.split(".")[: len(name.split(".")) - up], *base.split(".")])
            yield from ((f"{base.rstrip('.')}.{alias.name}", node) for alias in node.names)


def imported(*rooms: str) -> Iterator[tuple[str, str]]:
    """Each module of these rooms with each name that it imports."""
    for name, tree in modules(*rooms):
        yield from ((name, target) for target, _ in imports(name, tree))


# --- the house ----------------------------------------------------------------------------------


def wing_of(name: str) -> str:
    """``upparat.mqtt.dial`` is in ``mqtt``; ``upparat.job`` is a wing of its own."""
    return name.split(".")[1] if "." in name else "upparat"


def module_graph() -> Graph:
    """Every module with the modules that it imports, wherever and for whatever purpose."""
    names = {name for name, _ in modules()}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, target in imported():
        while target and target not in names:
            target = target.rpartition(".")[0]
        if target not in ("", name, "upparat"):
            found[name].add(target)
    return {name: frozenset(targets) for name, targets in sorted(found.items())}


def wing_graph(graph: Graph) -> Graph:
    """Every wing with the wings that it imports."""
    found: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if name != "upparat":
            own = found.setdefault(wing_of(name), set())
            own |= {wing_of(target) for target in targets} - {wing_of(name)}
    return {wing: frozenset(targets) for wing, targets in sorted(found.items())}


def circles(graph: Graph) -> list[list[str]]:
    """The groups of names that import one another in a circle (Tarjan's components)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], index[target])
        if lowest[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def floors(graph: Graph) -> dict[str, int]:
    """The floor of each name: 1 imports nothing, any other is one above the highest it imports.

    :raises ValueError: if there is a circle.
    """
    if found := circles(graph):
        raise ValueError(f"circles: {found}")
    known: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in known:
            known[name] = 1 + max((floor(target) for target in graph[name]), default=0)
        return known[name]

    return {name: floor(name) for name in graph}


# --- printed and drawn --------------------------------------------------------------------------


def listing(graph: Graph) -> Iterator[str]:
    """Lines of text: wings from the roof down, their modules, and the sums."""
    wings = wing_graph(graph)
    wing_floors, module_floors = floors(wings), floors(graph)
    for wing in sorted(wings, key=lambda each: (-wing_floors[each], each)):
        yield f"{wing_floors[wing]:2}  {wing:10} -> {', '.join(sorted(wings[wing])) or '-'}"
        own = [each for each in graph if wing_of(each) == wing and each.count(".") > 1]
        for name in sorted(own, key=lambda each: (-module_floors[each], each)):
            inside = [each.rpartition(".")[2] for each in graph[name] if wing_of(each) == wing]
            yield f"      {name.split('.', 2)[2]:18} -> {', '.join(sorted(inside)) or '-'}"
    between = sum(
        wing_of(name) != wing_of(target) for name, targets in graph.items() for target in targets
    )
    yield (
        f"{len(graph)} modules on {max(module_floors.values())} floors, {len(wings)} wings on"
        f" {max(wing_floors.values())} floors, {between} imports between wings,"
        f" {len(circles(graph))} circles"
    )


def dot(graph: Graph) -> str:
    """The wings as Graphviz's DOT; an arrow that follows from two others is left out."""
    wings = wing_graph(graph)
    drawn = {wing: targets for wing, targets in wings.items() if wing not in ("local",)}
    lines = ["// Made by `make house`; do not edit.", "digraph house {", _STYLE]
    for wing in drawn:
        rooms = sorted(
            each.split(".", 2)[2] for each in graph if wing_of(each) == wing and each.count(".") > 1
        )
        label = rf"{wing}/\n{_wrapped(rooms)}" if rooms else wing
        lines.append(f'    {wing} [label="{label}"];')
    for wing, targets in drawn.items():
        implied = {far for near in targets for far in _reached(wings, near)}
        lines += [f"    {wing} -> {target};" for target in sorted(targets - implied)]
    return "\n".join([*lines, "}", ""])


def _wrapped(words: Sequence[str]) -> str:
    return r"\n".join(", ".join(words[start : start + 4]) for start in range(0, len(words), 4))


def _reached(graph: Graph, name: str) -> frozenset[str]:
    """Everything that a name imports, directly or not."""
    return graph[name].union(*(_reached(graph, target) for target in graph[name]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.house")
    parser.add_argument("--check", action="store_true", help="only say whether docs/ has it")
    arguments = parser.parse_args(argv)
    graph = module_graph()
    if found := circles(graph):
        print(f"Circles: {found}")
        return 1
    text = dot(graph)
    if arguments.check:
        return 0 if PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == text else 1
    print("\n".join(listing(graph)))
    PICTURE.write_text(text, encoding="utf-8")
    program = shutil.which("dot")
    if program is None:
        print("docs/house.svg is left as it is: the Debian package graphviz is missing")
        return 0
    picture = PICTURE.with_suffix(".svg")
    subprocess.run([program, "-Tsvg", f"-o{picture}", str(PICTURE)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

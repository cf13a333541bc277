"""Writes the table of docs/doctor.md: ``python -m tests.support.doctor_table --write``, as root.

Each row is a broken world, with what the real command says of it. A test compares them:
``tests/integration/test_doctor.py``.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .doctor_worlds import WORLDS, BrokenWorld, examine, lines, made

PAGE = Path(__file__).parent.parent.parent / "docs" / "doctor.md"

HEAD = "| world | what doctor says |\n|---|---|\n"


def rows(page: str) -> dict[str, str]:
    """The rows of the table in the page, by the title of their world."""
    table = page.partition(HEAD)[2].partition("\n\n")[0]
    found = [line for line in table.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in found}


def row(broken: BrokenWorld, said: Sequence[str]) -> str:
    """The row of a world."""
    cells = "<br>".join(f"`{line}`" for line in said)
    return f"| {broken.title} | {cells} |"


def played(broken: BrokenWorld, directory: Path) -> str:
    """Make a world, run the command in it, and return its row.

    :raises CannotBeMade: if this machine lacks something for it.
    """
    with made(broken, directory) as scene:
        findings = examine(scene)
        return row(broken, lines(broken, scene, findings))


def written(page: str, new: Mapping[str, str]) -> str:
    """The page with these rows."""
    before, _, rest = page.partition(HEAD)
    after = re.sub(r"\A(\|.*\n)*", "", rest)
    return f"{before}{HEAD}" + "".join(f"{line}\n" for line in new.values()) + after


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.doctor_table")
    parser.add_argument("--write", action="store_true", help="write the table into docs/")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        new = {
            broken.title: played(broken, Path(scratch, str(number)))
            for number, broken in enumerate(WORLDS)
        }
    old = PAGE.read_text(encoding="utf-8")
    if arguments.write:
        PAGE.write_text(written(old, new), encoding="utf-8")
        return 0
    print("The table is current." if rows(old) == new else f"Run {parser.prog} --write.")
    return int(rows(old) != new)


if __name__ == "__main__":
    sys.exit(main())

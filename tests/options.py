"""Writes the tables of the options: ``python -m tests.options [--write]``, in a checkout.

Each row of docs/configuration.md below the heading of a section comes from the settings. The order
of the rows stays; an option that has no row yet goes to the end of its table.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from upparat.config.options import Option, options_of
from upparat.config.settings import SECTIONS

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
HEAD = "| option | default | unit | meaning |\n|---|---|---|---|\n"


def written(page: str) -> str:
    """The page with the tables of today's options."""
    for name, section in SECTIONS.items():
        head = f"## [{name}]\n\n{HEAD}"
        before, _, rest = page.partition(head)
        after = re.sub(r"\A(\|.*\n)*", "", rest)
        rows = _rows(rest.removesuffix(after), options_of(section))
        page = f"{before}{head}{rows}{after}"
    return page


def _rows(old: str, options: dict[str, Option]) -> str:
    order = re.findall(r"^\| `(\w+)` \|", old, re.MULTILINE)
    names = [name for name in order if name in options]
    return "".join(_row(name, options[name]) for name in dict.fromkeys([*names, *options]))


def _row(name: str, option: Option) -> str:
    cells = (f"`{name}`", option.shown, option.unit, option.meaning)
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.options")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/")
    arguments = parser.parse_args(argv)
    old = PAGE.read_text(encoding="utf-8")
    new = written(old)
    if arguments.write:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    print("The tables are current." if old == new else "Run python -m tests.options --write.")
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main())

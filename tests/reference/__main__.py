"""Writes the manual pages and the completions: ``python -m tests.reference DIRECTORY``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from .completions import bash, fish, zsh
from .manual import command_page, configuration_page
from .verbs import verbs

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


def files() -> Mapping[str, str]:
    """The text of each file by its place below ``/usr``."""
    known = verbs()
    return {
        "share/man/man1/upparat.1": command_page(known),
        "share/man/man5/upparat.conf.5": configuration_page(PAGE.read_text(encoding="utf-8")),
        "share/bash-completion/completions/upparat": bash(known),
        "share/zsh/vendor-completions/_upparat": zsh(known),
        "share/fish/vendor_completions.d/upparat.fish": fish(known),
    }


def write(directory: Path) -> None:
    """Write each file at its place below the directory, as below ``/usr``."""
    for place, text in files().items():
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.reference DIRECTORY")
    write(Path(sys.argv[1]))

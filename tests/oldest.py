"""Prints the oldest packages that the agent may run with: ``python3 -m tests.oldest``.

The output is a constraints file for pip, made of the lower bounds in setup.cfg. It needs nothing
but the standard library, because it runs before anything is installed.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.cfg"

_BOUND = re.compile(r"(?P<name>[\w.-]+)(\[\w+\])?\s*>=\s*(?P<version>[\w.]+)")


def constraints(setup: str) -> Iterator[str]:
    """Pin each requirement of the agent to its lower bound.

    :param setup: the text of setup.cfg.
    :raises ValueError: if a requirement has no lower bound.
    """
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    for requirement in parser["options"]["install_requires"].split("\n"):
        if requirement:
            bound = _BOUND.match(requirement)
            if bound is None:
                raise ValueError(f"install_requires: {requirement!r} has no lower bound")
            yield f"{bound['name']}=={bound['version']}"


if __name__ == "__main__":
    print("\n".join(constraints(SETUP.read_text(encoding="utf-8"))))

"""Runs every check and test: ``python -m tests [--measured] [pytest's arguments]``.

With ``--measured`` it runs what is tested inside of the tests' own processes, the unit and
integration tests, and reports their coverage. That takes half as long again, so it is a run of its
own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
PYTEST = ("pytest", "-n", "6", "--dist", "worksteal")
"""Most of the time a test waits for another process."""

IN_PROCESS = ("tests/integration", "tests/unit")

LEAST_COVERAGE = 99
"""Percent of lines and branches. Agents that run as processes do not count."""


class Beside:
    """A module of this Python that runs beside others. What it prints is shown at its end."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._output: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=self._output
        )

    def ends_well(self) -> bool:
        """Wait for its end, and tell whether it was content."""
        status = self._process.wait()
        print(f"--- {' '.join(self._command)}")
        self._output.seek(0)
        print(self._output.read(), end="", flush=True)
        self._output.close()
        return status == 0


def run(*command: str) -> bool:
    """Run a module of this Python; whether it was content."""
    print(f"--- {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


def check_and_test(arguments: Sequence[str]) -> bool:
    """Run the checks and the tests, all by default."""
    types = Beside("mypy")
    good = [
        run("ruff", "check", "."),
        run("ruff", "format", "--check", "."),
        run(*PYTEST, *arguments),
        types.ends_well(),
    ]
    return all(good)


def measure(arguments: Sequence[str]) -> bool:
    """Run the tests under coverage, the unit and integration tests by default."""
    os.environ["UPPARAT_LONG"] = "1"
    good = [
        run("coverage", "erase"),
        run("coverage", "run", "-m", *PYTEST, *(arguments or IN_PROCESS)),
        run("coverage", "combine", "--quiet"),
        run("coverage", "report", f"--fail-under={LEAST_COVERAGE}"),
    ]
    return all(good)


def main(arguments: Sequence[str]) -> int:
    measured = arguments[:1] == ["--measured"]
    good = measure(arguments[1:]) if measured else check_and_test(arguments)
    print("Everything is fine." if good else "Something FAILED: see above.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Runs every check and test and reports the coverage: ``python -m tests [pytest's arguments]``.

pytest's closing line is printed once more at the end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORKERS = ("-n", "6", "--dist", "worksteal")
"""Most of the time a test waits for another process."""

LEAST_COVERAGE = 99
"""Percent of lines and branches. Agents that run as processes do not count."""


def start(*command: str) -> subprocess.Popen[str]:
    """Start a module of this Python; what it prints is kept."""
    return subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def run(*command: str) -> bool:
    """Run a module of this Python; whether it was content."""
    print(f"--- {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


def run_pytest(arguments: Sequence[str]) -> tuple[bool, str]:
    """Run pytest under coverage; whether it passed, and its closing line."""
    colour = "yes" if sys.stdout.isatty() else "no"
    command = ["coverage", "run", "-m", "pytest", *WORKERS, f"--color={colour}", *arguments]
    print(f"--- {' '.join(command)}", flush=True)
    last = ""
    with start(*command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.strip() else last
    return process.returncode == 0, last


def main(arguments: Sequence[str]) -> int:
    good = [
        run("ruff", "check", "."),
        run("ruff", "format", "--check", "."),
        run("coverage", "erase"),
    ]
    mypy = start("mypy")  # it is done long before the tests are
    passed, closing_line = run_pytest(arguments)
    print(f"--- mypy\n{mypy.communicate()[0]}", end="", flush=True)
    good += [
        passed,
        mypy.returncode == 0,
        run("coverage", "combine", "--quiet"),
        run("coverage", "report", f"--fail-under={LEAST_COVERAGE}"),
    ]
    print("Everything is fine:" if all(good) else "Something FAILED:")
    print(closing_line, end="")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

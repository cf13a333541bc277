"""Runs every check and test and reports the coverage: ``python -m tests [pytest's arguments]``.

pytest's closing line is printed once more at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEAST_COVERAGE = 95
AT_ONCE = "4"
"""Tests that run side by side: most of the time each waits for another process."""

CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))
TRIAL = ("twisted.trial", "--reporter=text", "tests.unit")


def run(*command: str, **environment: str) -> bool:
    """Run a module of this Python, and print at once what it has printed; whether it succeeded."""
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(f"--- {' '.join(command)}\n{ran.stdout}", end="", flush=True)
    return ran.returncode == 0


def run_checks() -> bool:
    results = [run(*check) for check in CHECKS]
    return all(results)


def run_trial() -> bool:
    """Show that unit tests need nothing of pytest; a few examples of each property do for that."""
    return run(*TRIAL, UPPARAT_CASES="5")


def side_by_side(*parts: Callable[[], bool]) -> bool:
    with ThreadPoolExecutor(len(parts)) as pool:
        return all(list(pool.map(lambda part: part(), parts)))


def run_pytest(arguments: Sequence[str]) -> tuple[bool, str]:
    """Run pytest under coverage; whether it passed, and its closing line."""
    colour = "yes" if sys.stdout.isatty() else "no"
    command = ["coverage", "run", "-m", "pytest", "-n", AT_ONCE, f"--color={colour}", *arguments]
    print(f"--- {' '.join(command)}", flush=True)
    last = ""
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.strip() else last
    return process.returncode == 0, last


def main(arguments: Sequence[str]) -> int:
    good = [side_by_side(run_checks, run_trial), run("coverage", "erase")]
    passed, closing_line = run_pytest(arguments)
    good += [
        passed,
        run("coverage", "combine", "--quiet"),
        run("coverage", "report", f"--fail-under={LEAST_COVERAGE}"),
    ]
    print("Everything is fine:" if all(good) else "Something FAILED:")
    print(closing_line, end="")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

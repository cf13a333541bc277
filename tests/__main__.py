"""Runs every check and test and reports the coverage: ``python -m tests [pytest's arguments]``.

The end-to-end tests run beside the others, because the agents that they start are not measured. The
closing lines of pytest are printed once more at the end. With arguments there is one run of pytest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
WORKERS = ("-n", "8", "--dist", "worksteal")
"""Most of the time a test waits for another process."""
MEASURED = ("coverage", "run", "-m", "pytest", *WORKERS)
IN_PROCESS = ("tests/integration", "tests/unit")
END_TO_END = ("pytest", *WORKERS, "tests/e2e")

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

    def ends_well(self) -> tuple[bool, str]:
        """Wait for its end; whether it was content, and its last line."""
        status = self._process.wait()
        print(f"--- {' '.join(self._command)}")
        self._output.seek(0)
        last = _show(self._output)
        self._output.close()
        return status == 0, last


def _show(output: IO[str]) -> str:
    """Print what comes; the last line that is not empty."""
    last = ""
    for line in output:
        print(line, end="", flush=True)
        last = line if line.strip() else last
    return last


def run(*command: str) -> bool:
    """Run a module of this Python; whether it was content."""
    print(f"--- {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


def run_measured(*arguments: str) -> tuple[bool, str]:
    """Run pytest under coverage; whether it passed, and its closing line."""
    colour = "yes" if sys.stdout.isatty() else "no"
    command = [*MEASURED, f"--color={colour}", *arguments]
    print(f"--- {' '.join(command)}", flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        last = _show(process.stdout)
    return process.returncode == 0, last


def main(arguments: Sequence[str]) -> int:
    good = [
        run("ruff", "check", "."),
        run("ruff", "format", "--check", "."),
        run("coverage", "erase"),
    ]
    beside = [Beside("mypy")]
    if not arguments:
        beside.append(Beside(*END_TO_END))
    results = [run_measured(*(arguments or IN_PROCESS)), *(each.ends_well() for each in beside)]
    good += [passed for passed, _ in results]
    good += [
        run("coverage", "combine", "--quiet"),
        run("coverage", "report", f"--fail-under={LEAST_COVERAGE}"),
    ]
    print("Everything is fine:" if all(good) else "Something FAILED:")
    for _, last in results:
        print(last, end="")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

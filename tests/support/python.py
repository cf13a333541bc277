"""A Python of its own for code that ends a process, or must have one to itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .waiting import PATIENCE


def run_python(
    code: str, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the code to its end, with what it prints captured."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

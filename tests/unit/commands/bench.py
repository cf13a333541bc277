"""The bench of the verbs: captures what they print, and starts no agent."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat.commands import main as cli
from upparat.commands import run
from upparat.config.settings import Settings


class CommandBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.ran: list[Settings] = []
        self.patch(run, "run_agent", self.ran.append)
        self.config = self.directory / "upparat.conf"
        self.config.write_text(
            f"[service]\ndownload_location = {self.directory}\nstate_dir = {self.directory}/state\n"
        )

    def main(self, *words: str) -> Any:
        return cli.main(["-c", str(self.config), *words])


def loaded(*words: object) -> set[str]:
    """The modules that a command line imports, in a process of its own."""
    script = (
        "import sys; from upparat.commands.main import main; main(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, *map(str, words)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(result.stderr.split())

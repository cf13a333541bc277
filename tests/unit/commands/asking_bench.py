"""The bench of the verbs that ask an agent."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.support.answering import Answering
from tests.unit.commands.bench import CommandBench
from tests.unit.control.bench import FakeAgent
from upparat.commands import main as cli


class AskingBench(CommandBench):
    """A test case with an agent that answers as the test says."""

    def setUp(self) -> None:
        super().setUp()
        self.answering = Answering()
        self.addCleanup(self.answering.close)
        self.agent = FakeAgent()

    def status(self) -> Any:
        return self.agent.builder().build()

    def ask(self, *words: str) -> int:
        """Run a verb on that agent; return its exit status."""
        try:
            cli.main([*words, "--socket", str(self.answering.path)])
        except SystemExit as exit:
            return int(exit.code or 0)
        return 0

    def request(self) -> Any:
        """The last request that the agent got."""
        return json.loads(self.answering.asked[-1])

    def printed(self) -> list[str]:
        """The lines on stdout."""
        return self.out.getvalue().splitlines()

    def told(self) -> str:
        """What stderr says, with a short path."""
        return self.err.getvalue().replace(str(self.answering.path), "PATH")


def imported_by(*words: str) -> set[str]:
    """The modules that a verb imports, by the names of their packages."""
    import subprocess
    import sys

    script = (
        "import sys\nfrom upparat.commands.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    command = [sys.executable, "-c", script, *words]
    environment = {**os.environ, "XDG_RUNTIME_DIR": ""}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return set(result.stdout.split())

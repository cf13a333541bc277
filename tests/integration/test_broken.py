"""What becomes of the process when the machine has raised."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.python import run_python

PROGRAM = """
import sys
from upparat.iotjobs.client import JobsClient
from upparat.commands.main import main
from twisted.scripts.twistd import run

def fetch(self):
    raise RuntimeError("broken on purpose")

JobsClient.fetch = fetch
sys.argv[0] = "twistd"
main(sys.argv[1:]) if sys.argv[1] == "-c" else run()
"""


@pytest.mark.parametrize("how", ["command", "plugin"])
def test_a_broken_machine_ends_the_process_badly(tmp_path: Path, how: str) -> None:
    config = tmp_path / "upparat.conf"
    directories = f"download_location = {tmp_path}\nstate_dir = {tmp_path}/state\n"
    config.write_text(f"[service]\n{directories}[broker]\nport = 1\n")
    arguments = {
        "command": ["-c", str(config)],
        "plugin": ["-n", "--pidfile=twistd.pid", "upparat", f"--config={config}"],
    }[how]
    ended = run_python(PROGRAM, *arguments, cwd=tmp_path)
    assert ended.returncode == -signal.SIGABRT, ended.stderr
    assert "broken on purpose" in ended.stdout + ended.stderr
    assert not (tmp_path / "twistd.pid").exists()
    assert not list(tmp_path.glob("core*"))

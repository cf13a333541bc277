"""The agent that works in a state directory is found, and keeps its lock."""

from __future__ import annotations

import os

from tests.support.python import run_python
from tests.unit.doctor.bench import DoctorBench
from upparat.doctor.live import find_agent
from upparat.storage.lock import NAME, Claim

DAEMON = """
import os, sys
from pathlib import Path
from upparat.doctor.live import find_agent
from upparat.storage.lock import Claim

state = Path(sys.argv[1])
reader, writer = os.pipe()
waiting, release = os.pipe()
parent = os.fork()
if not parent:
    claim = Claim(state)
    if os.fork():
        os._exit(0)  # as twistd does
    os.close(release)
    claim.sign()
    os.write(writer, str(os.getpid()).encode())
    os.read(waiting, 1)
    os._exit(0)
os.waitpid(parent, 0)
daemon = os.read(reader, 20).decode()
print(find_agent(state) == f"process {daemon}")
"""


class LiveTests(DoctorBench):
    def test_nobody(self) -> None:
        self.assertEqual(find_agent(self.directory), "")
        self.assertEqual(find_agent(self.directory / "none"), "")

    def test_a_holder_keeps_its_lock(self) -> None:
        for mode in (0o700, 0o755):
            state = self.directory / f"state-{mode:o}"
            state.mkdir()
            state.chmod(mode)
            claim = Claim(state)
            self.assertEqual(find_agent(state), f"process {os.getpid()}")
            self.assertEqual(find_agent(state), f"process {os.getpid()}")
            claim.release()
            self.assertEqual(find_agent(state), "")

    def test_a_name_that_is_left_behind(self) -> None:
        self.directory.chmod(0o700)
        for left in (b"1\n", b"999999999\n", b"\xff", b""):
            (self.directory / NAME).write_bytes(left)
            self.assertEqual(find_agent(self.directory), "")

    def test_a_daemon_that_has_forked(self) -> None:
        self.directory.chmod(0o700)
        ran = run_python(DAEMON, str(self.directory))
        self.assertEqual(ran.stdout, "True\n", ran.stderr)

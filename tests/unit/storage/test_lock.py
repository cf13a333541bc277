"""One agent for each directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.storage.lock import NAME, Held, Lock
from upparat.storage.private import NotPrivate

HOLDER = """
import sys, pathlib
from upparat.storage.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


class LockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.lock = Lock(self.path)
        self.addCleanup(self.lock.release)

    def holder(self) -> subprocess.Popen[bytes]:
        """Another process with the lock."""
        pipe = subprocess.PIPE
        other = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.path)], stdin=pipe, stdout=pipe
        )
        assert other.stdin is not None
        assert other.stdout is not None
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        self.addCleanup(other.stdout.close)
        self.addCleanup(other.stdin.close)
        self.assertEqual(other.stdout.readline(), b"held\n")
        return other

    def test_only_one_has_it(self) -> None:
        other = self.holder()
        error = self.assertRaises(Held, self.lock.acquire)
        message = f"{self.path} is in use by another agent (process {other.pid})"
        self.assertEqual(str(error), message)

    def test_a_process_that_is_killed_lets_go(self) -> None:
        other = self.holder()
        other.kill()
        other.wait()
        self.lock.acquire()
        self.assertEqual((self.path / NAME).read_text(), f"{os.getpid()}\n")

    def test_a_second_lock_of_the_same_process(self) -> None:
        self.lock.acquire()
        self.lock.acquire()
        second = Lock(self.path)
        self.assertRaises(Held, second.acquire)
        self.lock.release()
        self.lock.release()
        second.acquire()
        second.release()

    def test_children_do_not_inherit_it(self) -> None:
        self.lock.acquire()
        with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
            self.lock.release()
            second = Lock(self.path)
            second.acquire()
            second.release()
            child.kill()

    def test_a_fork_signs_anew(self) -> None:
        self.lock.acquire()
        child = os.fork()
        if child == 0:
            self.lock.sign()
            os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual((self.path / NAME).read_text(), f"{child}\n")

    def test_somebody_elses_directory(self) -> None:
        self.path.mkdir(parents=True)
        self.path.chmod(0o777)
        self.assertRaises(NotPrivate, self.lock.acquire)

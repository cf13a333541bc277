"""Locks: one process, and what the second one is told."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from upparat.private import NotPrivate, PrivateDirectory
from upparat.storage.lock import NAME, Claim, Held, Lock, find_holder

HOLD = """
import sys
from pathlib import Path
from upparat.storage.lock import Claim
claim = Claim(*map(Path, sys.argv[1:]))
print("held", flush=True)
sys.stdin.read()
"""


class LockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "state"
        self.directory = PrivateDirectory(self.path)

    def test_the_second_one_is_told_who_has_it(self) -> None:
        lock = Lock(self.directory)
        self.addCleanup(lock.release)
        problem = self.assertRaises(Held, Lock, self.directory)
        self.assertEqual(str(problem), f"{self.path} is in use by process {os.getpid()}")

    def test_a_signed_lock(self) -> None:
        lock = Lock(self.directory, signed=True)
        self.addCleanup(lock.release)
        (self.path / NAME).write_text("1\n")
        problem = self.assertRaises(Held, Lock, self.directory)
        self.assertTrue(str(problem).endswith("in use by process 1"))

    def test_a_dead_process_is_not_named(self) -> None:
        lock = Lock(self.directory, signed=True)
        self.addCleanup(lock.release)
        (self.path / NAME).write_text("99999999\n")
        problem = self.assertRaises(Held, Lock, self.directory)
        self.assertTrue(str(problem).endswith(f"in use by process {os.getpid()}"))

    def test_others_cannot_keep_every_agent_out(self) -> None:
        """Who can open a directory can lock it, without any right to write."""
        self.directory.prepare()
        self.path.chmod(0o755)
        other = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, other)
        fcntl.flock(other, fcntl.LOCK_SH)
        lock = Lock(self.directory)
        self.addCleanup(lock.release)
        self.assertEqual((self.path / NAME).stat().st_mode & 0o777, 0o600)
        problem = self.assertRaises(Held, Lock, self.directory)
        self.assertIn(f"in use by process {os.getpid()}", str(problem))

    def test_a_holder_that_nobody_knows(self) -> None:
        self.directory.prepare()
        nobody = self.path / "locks"
        found = self.path.stat()
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in (
            "",
            f"1: POSIX  ADVISORY  WRITE {os.getpid()} {device} 0 EOF",
            f"1: FLOCK  ADVISORY  WRITE {os.getpid()} {device}1 0 EOF",
            f"1: FLOCK  ADVISORY  WRITE 99999999 {device} 0 EOF",
        ):
            nobody.write_text(line)
            self.assertEqual(find_holder(found, nobody), "")
        self.assertEqual(find_holder(found, self.path / "none"), "")

    def test_again_after_its_release(self) -> None:
        Lock(self.directory).release()
        Lock(self.directory).release()
        self.assertEqual(list(self.path.iterdir()), [])

    def test_a_child_does_not_inherit_it(self) -> None:
        lock = Lock(self.directory)
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        ) as child:
            lock.release()
            Lock(self.directory).release()
            child.communicate()

    def test_no_locks_there(self) -> None:
        for trouble in (OSError(errno.ENOLCK, "none"), NotPrivate(self.path, "is his", "mv")):
            with mock.patch("fcntl.flock", side_effect=trouble):
                self.assertRaises(OSError, Lock, self.directory)


class ClaimTests(SynchronousTestCase):
    def setUp(self) -> None:
        home = Path(self.mktemp()).absolute()
        self.one, self.two = home / "one", home / "two"

    def test_all_or_none(self) -> None:
        held = Claim(self.two)
        self.addCleanup(held.release)
        self.assertRaises(Held, Claim, self.one, self.two)
        Claim(self.one).release()

    def test_one_directory_for_both(self) -> None:
        claim = Claim(self.one, self.one)
        self.assertRaises(Held, Claim, self.one)
        claim.release()

    def test_signed_again_after_a_fork(self) -> None:
        claim = Claim(self.one)
        self.addCleanup(claim.release)
        with mock.patch("os.getpid", return_value=1):
            claim.sign()
        self.assertIn("process 1", str(self.assertRaises(Held, Claim, self.one)))

    def test_a_directory_of_others_is_refused(self) -> None:
        self.two.mkdir(parents=True)
        self.two.chmod(0o777)
        self.assertRaises(NotPrivate, Claim, self.one, self.two)
        Claim(self.one).release()

    def test_a_directory_that_was_made_anew_is_locked_again(self) -> None:
        claim = Claim(self.one, self.two)
        self.addCleanup(claim.release)
        claim.renew()
        self.two.rmdir()
        self.two.mkdir(mode=0o700)
        claim.renew()
        self.assertRaises(Held, Claim, self.two)

    def test_a_directory_that_could_not_be_made_is_locked_later(self) -> None:
        self.two.mkdir(parents=True, mode=0o700)
        with mock.patch("fcntl.flock", side_effect=OSError(errno.ENOLCK, "no locks")):
            claim = Claim(self.one, self.two)
        self.addCleanup(claim.release)
        claim.renew()
        self.assertRaises(Held, Claim, self.two)

    def test_unless_another_agent_was_there_first(self) -> None:
        claim = Claim(self.one, self.two)
        self.addCleanup(claim.release)
        self.two.rmdir()
        other = Claim(self.two)
        self.assertRaises(Held, claim.renew)
        other.release()
        claim.renew()

    def test_a_disk_without_locks_is_told(self) -> None:
        with mock.patch("fcntl.flock", side_effect=OSError(errno.ENOLCK, "no locks")):
            claim = Claim(self.one)
        claim.sign()
        claim.release()

    def test_the_end_of_the_process_releases_it(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(self.one), str(self.two)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout is not None
            self.assertEqual(holder.stdout.readline(), b"held\n")
            problem = self.assertRaises(Held, Claim, self.two)
            self.assertIn(f"process {holder.pid}", str(problem))
            holder.kill()
        Claim(self.one, self.two).release()

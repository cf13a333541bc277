"""Directories of the agent's own, and what others may have put in their place."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from upparat.storage.private import NotPrivate, PrivateDirectory

NOBODY = 65534
as_root = skipUnless(os.geteuid() == 0, "only root can make files of others")


class PrivateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp())
        self.base.mkdir(parents=True)
        self.path = self.base / "own"
        self.directory = PrivateDirectory(self.path)

    def refused(self, *words: str) -> None:
        """All that uses the directory or the file ``f`` in it says that it is not private."""
        uses = (
            lambda: self.directory.read("f"),
            lambda: self.directory.write("f", b"x"),
        )
        error = self.assertRaises(NotPrivate, uses[0])
        for word in words:
            self.assertIn(word, str(error))
        self.assertRaises(NotPrivate, uses[1])


class DirectoryTests(PrivateCase):
    def test_made_for_the_user_alone(self) -> None:
        self.directory.prepare()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        self.directory.prepare()

    def test_its_parents_are_made(self) -> None:
        deep = self.base / "a" / "b"
        PrivateDirectory(deep).prepare()
        self.assertTrue(deep.is_dir())

    def test_readable_by_others(self) -> None:
        self.path.mkdir(mode=0o755)
        self.directory.prepare()

    def test_a_symbolic_link(self) -> None:
        (self.base / "elsewhere").mkdir()
        self.path.symlink_to("elsewhere")
        error = self.assertRaises(NotPrivate, self.directory.prepare)
        self.assertEqual(
            str(error), f"{self.path} is a symbolic link; mend it with: rm {self.path}"
        )
        self.refused("is a symbolic link")

    def test_a_file(self) -> None:
        self.path.touch()
        error = self.assertRaises(NotPrivate, self.directory.prepare)
        self.assertIn("is not a directory", str(error))

    def test_writable_by_others(self) -> None:
        for mode in (0o770, 0o707, 0o1777):
            self.path.mkdir(exist_ok=True)
            self.path.chmod(mode)
            error = self.assertRaises(NotPrivate, self.directory.prepare)
            self.assertIn(f"mend it with: chmod go-w {self.path}", str(error))
            self.refused("can be written to by others")

    @as_root
    def test_of_another_user(self) -> None:
        self.path.mkdir()
        (self.path / "f").touch()
        os.chown(self.path, NOBODY, NOBODY)
        self.refused(f"belongs to user {NOBODY}", f"mend it with: chown 0 {self.path}")

    def test_checked_at_each_use(self) -> None:
        self.directory.prepare()
        self.directory.write("f", b"x")
        self.path.rename(self.base / "moved")
        self.path.symlink_to("moved")
        self.refused("is a symbolic link")


class FileTests(PrivateCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory.prepare()
        self.file = self.path / "f"

    def test_written_and_read(self) -> None:
        self.directory.write("f", b"longer")
        self.directory.write("f", b"abc")
        self.assertEqual(self.directory.read("f"), b"abc")
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_replaced(self) -> None:
        self.directory.replace("f", b"old")
        self.directory.replace("f", b"new")
        self.assertEqual(os.listdir(self.path), ["f"])
        self.assertEqual(self.directory.read("f"), b"new")

    def test_removed(self) -> None:
        self.directory.write("f", b"x")
        self.directory.remove("f")
        self.directory.remove("f", durably=True)
        self.assertEqual(os.listdir(self.path), [])

    def test_no_file(self) -> None:
        self.assertRaises(FileNotFoundError, self.directory.read, "f")

    def test_nothing_is_written_through_a_symbolic_link(self) -> None:
        victim = self.base / "victim"
        victim.write_bytes(b"precious")
        for name in ("f", "f.new"):
            (self.path / name).symlink_to(victim)
        self.refused("is a symbolic link", "rm ")
        self.assertRaises(NotPrivate, self.directory.replace, "f", b"x")
        self.assertEqual(victim.read_bytes(), b"precious")

    def test_a_dangling_link_makes_no_file(self) -> None:
        self.file.symlink_to(self.base / "victim")
        self.refused("is a symbolic link")
        self.assertFalse((self.base / "victim").exists())

    def test_a_fifo_holds_nothing_up(self) -> None:
        os.mkfifo(self.file)
        error = self.assertRaises(NotPrivate, self.directory.read, "f")
        self.assertIn("is not a regular file", str(error))

    def test_writable_by_others(self) -> None:
        self.file.write_bytes(b"x")
        self.file.chmod(0o666)
        self.refused("can be written to by others")

    @as_root
    def test_of_another_user_is_left_as_it_is(self) -> None:
        self.file.write_bytes(b"theirs")
        os.chown(self.file, NOBODY, NOBODY)
        self.refused(f"belongs to user {NOBODY}")
        self.assertEqual(self.file.read_bytes(), b"theirs")

    def test_no_descriptor_is_left(self) -> None:
        before = os.listdir("/proc/self/fd")
        self.file.write_bytes(b"x")
        self.file.chmod(0o666)
        self.refused()
        self.directory.remove("f")
        self.directory.replace("f", b"x")
        self.directory.read("f")
        self.assertEqual(os.listdir("/proc/self/fd"), before)

"""Directories and files: whose they are, and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from upparat.private import NotPrivate, PrivateDirectory, open_private

STRANGER = os.geteuid() + 1


class PrivateTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True)
        self.path = self.home / "state"
        self.directory = PrivateDirectory(self.path)

    def refused(self, *words: str) -> None:
        """The directory is refused, in these words, whatever is asked of it."""
        for use in (
            self.directory.prepare,
            self.directory.check,
            lambda: self.directory.read("a"),
            lambda: self.directory.write("a", b"new"),
            lambda: self.directory.replace("a", b"new"),
            lambda: self.directory.rename("a", "b"),
            lambda: self.directory.remove("a"),
        ):
            problem = str(self.assertRaises(NotPrivate, use))
            for word in (str(self.path), *words):
                self.assertIn(word, problem)


class DirectoryTests(PrivateTestCase):
    def test_made_for_us_alone(self) -> None:
        self.directory.prepare()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        self.directory.prepare()

    def test_missing(self) -> None:
        self.directory.check()
        self.directory.remove("a")
        self.assertRaises(FileNotFoundError, self.directory.read, "a")
        self.assertFalse(self.path.exists())

    def test_a_link_is_not_followed(self) -> None:
        there = self.home / "there"
        there.mkdir(mode=0o700)
        self.path.symlink_to(there)
        self.refused("is a symbolic link", f"mv {self.path} {self.path}.foreign")
        self.assertEqual(list(there.iterdir()), [])

    def test_something_else_in_its_place(self) -> None:
        self.path.touch()
        self.refused("is not a directory")
        self.path.unlink()
        self.path.symlink_to(self.home / "nowhere")
        self.refused("is a symbolic link")

    def test_whatever_the_umask_is(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        directory = PrivateDirectory(self.home / "a" / "b" / "state")
        directory.prepare()
        self.assertEqual(stat.S_IMODE((self.home / "a").stat().st_mode), 0o755)
        self.assertEqual(stat.S_IMODE(directory.path.stat().st_mode), 0o700)

    def test_of_another_user(self) -> None:
        self.directory.prepare()
        with mock.patch("os.geteuid", return_value=STRANGER):
            problem = str(self.assertRaises(NotPrivate, self.directory.read, "a"))
        self.assertIn(f"belongs to another user (uid {os.geteuid()}); mend it with: mv ", problem)

    def test_others_could_write(self) -> None:
        self.directory.prepare()
        for mode in (0o770, 0o702):
            self.path.chmod(mode)
            self.refused("can be written to by others", f"chmod go-w {self.path}")
        self.path.chmod(0o755)
        self.directory.check()

    def test_above_it_others_may_only_add(self) -> None:
        self.directory.prepare()
        self.home.chmod(0o777)
        problem = str(self.assertRaises(NotPrivate, self.directory.prepare))
        self.assertIn(f"chmod o-w {self.home}", problem)
        self.home.chmod(0o1777)
        self.directory.prepare()

    def above(self, **facts: int) -> str:
        """The problem with a directory above of this kind; empty if there is none."""
        found = mock.Mock(**{"st_uid": 0, "st_gid": 0, "st_mode": stat.S_IFDIR | 0o755, **facts})
        self.directory.prepare()
        with mock.patch("pathlib.Path.lstat", return_value=found):
            try:
                self.directory.check()
            except NotPrivate as problem:
                return str(problem)
        return ""

    def test_above_it_nobody_else_may_rule(self) -> None:
        self.assertEqual(self.above(), "")
        self.assertEqual(self.above(st_uid=os.geteuid()), "")
        self.assertIn(f"chown -h {os.geteuid()} ", self.above(st_uid=STRANGER))
        group = stat.S_IFDIR | 0o775
        self.assertEqual(self.above(st_mode=group, st_gid=os.getegid()), "")
        self.assertIn(
            "(gid 4711); mend it with: chmod g-w ", self.above(st_mode=group, st_gid=4711)
        )
        self.assertEqual(self.above(st_mode=group | stat.S_ISVTX, st_gid=4711), "")

    def test_above_it_a_link_of_others_leads_anywhere(self) -> None:
        link = stat.S_IFLNK | 0o777
        self.assertEqual(self.above(st_mode=link), "")
        self.assertIn("belongs to another user", self.above(st_mode=link, st_uid=STRANGER))

    def test_above_it_a_link_of_ours_must_lead_to_what_is_ours(self) -> None:
        there = self.home / "there"
        there.mkdir()
        (self.home / "link").symlink_to(there)
        directory = PrivateDirectory(self.home / "link" / "state")
        directory.prepare()
        there.chmod(0o777)
        problem = str(self.assertRaises(NotPrivate, directory.check))
        self.assertIn(f"chmod o-w {there}", problem)

    def test_a_path_is_quoted(self) -> None:
        directory = PrivateDirectory(self.home / "a b")
        directory.path.symlink_to(self.home)
        self.assertIn("a b.foreign'", str(self.assertRaises(NotPrivate, directory.check)))


class FileTests(PrivateTestCase):
    def test_written_and_read(self) -> None:
        for write in (self.directory.write, self.directory.replace):
            write("a.txt", b"longer text")
            write("a.txt", b"text")
            self.assertEqual(self.directory.read("a.txt"), b"text")
        self.assertEqual(stat.S_IMODE((self.path / "a.txt").stat().st_mode), 0o600)
        self.assertEqual([each.name for each in self.path.iterdir()], ["a.txt"])

    def test_overwritten(self) -> None:
        with self.assertRaises(FileNotFoundError):
            self.directory.overwrite("f", b"x")
        self.directory.write("f", b"something long")
        file = (self.path / "f").stat().st_ino
        self.directory.overwrite("f", b"short")
        self.assertEqual(self.directory.read("f"), b"short")
        self.assertEqual((self.path / "f").stat().st_ino, file)

    def test_renamed_and_removed(self) -> None:
        self.directory.write("a", b"text")
        self.directory.rename("a", "b")
        self.assertRaises(FileNotFoundError, self.directory.read, "a")
        self.directory.remove("b")
        self.directory.remove("b", sync=True)
        self.assertEqual(list(self.path.iterdir()), [])

    def test_a_link_is_neither_read_nor_written(self) -> None:
        secret = self.home / "shadow"
        secret.write_text("secret")
        self.directory.prepare()
        for name in ("a", "record.new"):
            (self.path / name).symlink_to(secret)
        self.assertRaises(NotPrivate, self.directory.read, "a")
        self.assertRaises(NotPrivate, self.directory.write, "a", b"")
        self.assertRaises(NotPrivate, self.directory.replace, "record.json", b"")
        self.assertEqual(secret.read_text(), "secret")

    def test_only_regular_files(self) -> None:
        self.directory.prepare()
        os.mkfifo(self.path / "fifo", 0o600)
        (self.path / "directory").mkdir(mode=0o700)
        for name in ("fifo", "directory"):
            self.assertRaises(NotPrivate, self.directory.read, name)
        self.assertRaises(NotPrivate, self.directory.write, "fifo", b"")

    def test_a_file_of_others_is_not_even_emptied(self) -> None:
        self.directory.write("a", b"text")
        (self.path / "a").chmod(0o606)
        self.assertRaises(NotPrivate, self.directory.read, "a")
        self.assertRaises(NotPrivate, self.directory.write, "a", b"")
        self.assertEqual((self.path / "a").read_bytes(), b"text")

    def test_by_its_path(self) -> None:
        path = self.home / "file"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for _ in range(2):
            descriptor = open_private(path, flags)
            self.assertFalse(os.get_inheritable(descriptor))
            os.close(descriptor)
        path.chmod(0o622)
        self.assertRaises(NotPrivate, open_private, path, flags)
        self.assertRaises(FileNotFoundError, open_private, self.home / "none", os.O_RDONLY)

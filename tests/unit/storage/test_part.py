"""Files that grow: writing, hashing, room on the disk and the final name."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from tests.support.downloads import write_later
from upparat.private import NotPrivate
from upparat.storage.directory import Note
from upparat.storage.part import CHUNK, HASTE, SLACK, PartialFile, Seal, Stopped, hash_file

from .bench import KEY, StorageCase


@contextmanager
def fills_up_after(room: int) -> Iterator[None]:
    """The disk takes so many bytes of a write, and then no more."""
    write = os.pwrite
    left = [room]

    def fills_up(fd: int, data: memoryview, offset: int) -> int:
        if not left:
            raise OSError(errno.ENOSPC, "full")
        return write(fd, data[: left.pop()], offset)

    with mock.patch("os.pwrite", fills_up):
        yield


class PartTests(StorageCase):
    def test_what_is_written_is_there_and_hashed(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"ab")
        part.write(b"c")
        self.assertEqual(part.length, 3)
        self.assertEqual(part.sha256, hashlib.sha256(b"abc").hexdigest())
        self.assertEqual(self.files.part.read_bytes(), b"abc")
        self.assertEqual(self.files.part.stat().st_mode & 0o777, 0o600)

    def test_a_part_goes_on_where_it_ended(self) -> None:
        self.leave(KEY, complete=False)
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.rehash(lambda: True)
        part.write(b"!")
        self.assertEqual(self.files.part.read_bytes(), b"content!")
        self.assertEqual(part.sha256, hashlib.sha256(b"content!").hexdigest())

    def test_a_part_starts_over(self) -> None:
        self.leave(KEY, complete=False)
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.start_over()
        part.write(b"new")
        self.assertEqual((part.length, self.files.part.read_bytes()), (3, b"new"))
        self.assertEqual(part.sha256, hashlib.sha256(b"new").hexdigest())

    def test_short_writes_are_completed(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        write = os.write
        with mock.patch("os.write", lambda fd, data: write(fd, data[:2])):
            part.write(b"abcde")
        self.assertEqual(self.files.part.read_bytes(), b"abcde")

    def test_a_write_that_fails_half_way_leaves_nothing(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"abc")
        with fills_up_after(2):
            self.assertRaises(OSError, part.write, b"defg")
        self.assertEqual(self.files.part.read_bytes(), b"abc")
        part.write(b"de")
        self.assertEqual(self.files.part.read_bytes(), b"abcde")
        self.assertEqual(part.sha256, hashlib.sha256(b"abcde").hexdigest())

    def test_what_such_a_write_has_left_does_not_shift_the_rest(self) -> None:
        """UBIFS can need room to shorten a file."""
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"abc")
        no_room = OSError(errno.ENOSPC, "full")
        with fills_up_after(2), mock.patch("os.ftruncate", side_effect=no_room):
            self.assertRaises(OSError, part.write, b"defg")
        part.write(b"defg")
        self.assertEqual(self.files.part.read_bytes(), b"abcdefg")
        self.assertEqual(part.sha256, hashlib.sha256(b"abcdefg").hexdigest())

    def test_others_keep_their_room_where_no_size_was_told(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        disk = mock.Mock(f_frsize=1, f_bavail=SLACK + 3)
        with mock.patch("os.fstatvfs", return_value=disk):
            part.write(b"abc")
            with self.assertRaises(OSError) as caught:
                part.write(b"defg")
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(self.files.part.read_bytes(), b"abc")

    def test_a_file_system_without_a_size_has_room(self) -> None:
        """Ramfs says that it has no block, and takes all the same."""
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        disk = mock.Mock(f_blocks=0, f_frsize=4096, f_bavail=0)
        with mock.patch("os.fstatvfs", return_value=disk):
            part.write(b"abc")
            part.make_room(SLACK)
            part.write(b"de")
        self.assertEqual(self.files.part.read_bytes(), b"abcde")

    def test_another_program_writes(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        self.assertFalse(part.tampered)
        part.write(b"abc")
        self.assertFalse(part.tampered)
        write_later(self.files.part, b"x")
        self.assertTrue(part.tampered)
        part.rehash(lambda: True)
        self.assertFalse(part.tampered)
        self.assertEqual(part.sha256, hashlib.sha256(b"xbc").hexdigest())
        with self.files.part.open("ab") as stream:
            stream.write(b"more")
        self.assertTrue(part.tampered)
        part.start_over()
        self.assertFalse(part.tampered)

    def test_syncs_modes_and_names_are_no_writes(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"abc")
        part.syncing()()
        self.files.part.chmod(0o400)
        self.assertFalse(part.tampered)
        part.commit(Note(digest=part.sha256))
        self.assertFalse(part.tampered)

    def test_room_is_counted_with_slack(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"abc")
        there = os.stat(self.files.part).st_blocks * 512
        disk = mock.Mock(f_bavail=2, f_frsize=SLACK)
        with mock.patch("os.fstatvfs", return_value=disk):
            part.make_room(SLACK + there)
            with self.assertRaises(OSError) as caught:
                part.make_room(SLACK + there + 1)
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(caught.exception.strerror, "the disk lacks 1 bytes for the file")

    def test_room_is_set_aside_with_the_next_write(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"abc")
        part.make_room(100_000)
        with mock.patch("upparat.storage.part.reserve") as reserve:
            part.write(b"de")
            part.write(b"f")
        reserve.assert_has_calls([mock.call(mock.ANY, 3, 100_000), mock.call(mock.ANY, 5, 0)])
        part.make_room(100_000)
        part.write(b"g")
        found = os.stat(self.files.part)
        self.assertEqual(found.st_size, 7)
        self.assertGreaterEqual(found.st_blocks * 512, 100_000)
        with mock.patch("os.fstatvfs", return_value=mock.Mock(f_bavail=0, f_frsize=SLACK)):
            part.make_room(100_000)  # what was set aside is not free, but ours

    def test_nothing_is_set_aside_on_a_full_disk(self) -> None:
        part = PartialFile(self.files)
        self.addCleanup(part.close)
        part.write(b"abc")
        part.make_room(5)
        full = OSError(errno.ENOSPC, "full")
        with mock.patch("upparat.storage.part.reserve", side_effect=full):
            self.assertRaises(OSError, part.write, b"de")
        self.assertEqual(part.length, 3)
        part.write(b"de")
        self.assertEqual(self.files.part.read_bytes(), b"abcde")

    def test_much_is_sent_to_the_disk_before_the_end(self) -> None:
        with mock.patch("upparat.storage.part.begin_writing") as begin:
            part = PartialFile(self.files)
            self.addCleanup(part.close)
            part.write(bytes(HASTE - 1))
            begin.assert_not_called()
            part.write(b"1")
            begin.assert_called_once_with(mock.ANY, 0, HASTE)
            part.write(bytes(HASTE))
            begin.assert_called_with(mock.ANY, HASTE, 2 * HASTE)
            part.start_over()
            part.write(bytes(HASTE))
            begin.assert_called_with(mock.ANY, 0, HASTE)

    def test_the_complete_file_gets_its_name(self) -> None:
        part = PartialFile(self.files)
        part.write(b"abc")
        part.syncing()()
        note = Note("/f", "", 3, part.sha256)
        self.assertEqual(part.commit(note), self.directory / "job")
        part.close()
        self.assertEqual(self.names(), ["job", "job.2.1700000000.json"])
        self.assertTrue(self.files.known_complete())

    def test_syncing_outlives_the_part(self) -> None:
        part = PartialFile(self.files)
        sync = part.syncing()
        part.close()
        sync()

    def test_a_part_that_has_lost_its_name(self) -> None:
        def replace_it() -> None:
            self.files.part.unlink()
            self.files.part.write_bytes(b"abc")

        def block() -> None:
            shutil.rmtree(self.directory)
            self.directory.write_bytes(b"")

        for lose in (
            self.files.part.unlink,
            replace_it,
            lambda: shutil.rmtree(self.directory),
            lambda: self.directory.rename(f"{self.directory}.away"),
            block,
        ):
            self.store.prepare()
            part = PartialFile(self.files)
            self.addCleanup(part.close)
            part.start_over()
            part.write(b"abc")
            self.assertFalse(part.lost)
            lose()
            self.assertTrue(part.lost)
            self.assertRaises(FileNotFoundError, part.write, b"d")
            self.assertRaises(FileNotFoundError, part.write_note, Note())
            self.assertRaises(FileNotFoundError, part.commit, Note(digest="x"))
            self.assertFalse(self.files.complete.exists())
            self.assertFalse(self.files.note.exists())

    def test_a_link_is_not_followed(self) -> None:
        victim = Path(self.mktemp())
        victim.write_bytes(b"precious")
        self.files.part.symlink_to(victim.absolute())
        self.assertRaises(NotPrivate, PartialFile, self.files)
        self.assertEqual(victim.read_bytes(), b"precious")


class SealTests(StorageCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.directory / "f"
        self.path.write_bytes(b"abc")
        self.seal = Seal.of(self.path)

    def test_it_holds(self) -> None:
        self.assertFalse(self.seal.broken(self.path))
        with self.path.open("rb") as stream:
            self.assertEqual(Seal.of(stream.fileno()), self.seal)
            stream.read()
        self.path.chmod(0o400)
        self.assertFalse(self.seal.broken(self.path))
        moved = self.path.rename(self.directory / "g")
        self.assertFalse(self.seal.broken(moved))

    def test_other_bytes_break_it(self) -> None:
        write_later(self.path, b"xyz")
        self.assertTrue(self.seal.broken(self.path))

    def test_other_sizes_break_it(self) -> None:
        for size in (2, 4):
            os.truncate(self.path, size)
            os.utime(self.path, ns=(self.seal.written, self.seal.written))
            self.assertTrue(self.seal.broken(self.path))

    def test_another_file_breaks_it(self) -> None:
        """Though it has the same bytes and times."""
        other = self.directory / "other"
        shutil.copy2(self.path, other)
        other.replace(self.path)
        self.assertEqual(self.path.stat().st_mtime_ns, self.seal.written)
        self.assertTrue(self.seal.broken(self.path))

    def test_no_file_breaks_it(self) -> None:
        self.path.unlink()
        self.assertTrue(self.seal.broken(self.path))


class HashTests(StorageCase):
    def test_only_the_length_counts(self) -> None:
        path = self.directory / "f"
        path.write_bytes(bytes(CHUNK * 2 + 10))
        digest = hash_file(path, CHUNK + 5, lambda: True)
        self.assertEqual(digest.hexdigest(), hashlib.sha256(bytes(CHUNK + 5)).hexdigest())

    def test_a_short_file_is_an_error(self) -> None:
        path = self.directory / "f"
        path.write_bytes(b"ab")
        self.assertRaises(OSError, hash_file, path, 3, lambda: True)

    def test_it_stops_between_chunks(self) -> None:
        path = self.directory / "f"
        path.write_bytes(bytes(CHUNK * 2))
        answers = iter([True, False])
        self.assertRaises(Stopped, hash_file, path, CHUNK * 2, lambda: next(answers))

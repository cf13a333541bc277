"""Names, notes, part files and what is removed."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from upparat.job import ExecutionKey
from upparat.private import NotPrivate
from upparat.storage.directory import Note, Store, UnsafeName

from .bench import KEY, OTHER, StorageCase

UNSAFE = ("", ".", "..", "../x", "a/b", "a.part", "a b", "a\n", "\0", "ä", "x" * 65)


class NameTests(StorageCase):
    def test_names_tell_executions_apart(self) -> None:
        self.assertEqual(self.files.part, self.directory / "job.2.1700000000.part")
        self.assertEqual(self.files.note, self.directory / "job.2.1700000000.json")
        self.assertEqual(self.files.complete, self.directory / "job")

    def test_unsafe_names_are_refused(self) -> None:
        for job_id in UNSAFE:
            self.assertRaises(UnsafeName, self.store.files, KEY._replace(job_id=job_id))
        self.assertRaises(UnsafeName, self.store.files, KEY._replace(number=-1))
        self.assertRaises(UnsafeName, self.store.files, KEY._replace(queued_at=-1))

    @given(st.text(max_size=70), st.integers(), st.integers())
    def test_every_name_is_in_the_directory(self, job_id: str, number: int, queued: int) -> None:
        try:
            files = Store(Path("/d")).files(ExecutionKey(job_id, number, queued))
        except UnsafeName:
            return
        for path in (files.part, files.note, files.complete):
            self.assertEqual(Path(os.path.normpath(path)).parent, Path("/d"))
        self.assertEqual(len({files.part, files.note, files.complete}), 3)


class PrepareTests(StorageCase):
    def test_the_directory_is_for_us_alone(self) -> None:
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)
        self.store.prepare()

    def test_a_directory_of_somebody_else_is_refused(self) -> None:
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1):
            self.assertRaises(NotPrivate, self.store.prepare)
        self.directory.chmod(0o777)
        self.assertRaises(NotPrivate, self.store.prepare)

    def test_a_directory_made_anew_is_locked_again(self) -> None:
        renewed: list[bool] = []
        Store(self.directory, lambda: renewed.append(True)).prepare()
        self.assertEqual(renewed, [True])


class NoteTests(StorageCase):
    def test_a_note_comes_back(self) -> None:
        note = Note("/päth", '"etag"', 5, "digest")
        self.files.write_note(note)
        self.assertEqual(self.files.read_note(), note)
        self.assertEqual(self.files.note.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.names(), ["job.2.1700000000.json"])

    def test_what_makes_no_sense_is_no_note(self) -> None:
        self.assertEqual(self.files.read_note(), Note())
        for content in (
            b"",
            b"\xff",
            b"[]",
            b"1",
            b'{"path": 1}',
            b'{"total": "1"}',
            b'{"total": true}',
            b'{"x": 1}',
        ):
            self.files.note.write_bytes(content)
            self.assertEqual(self.files.read_note(), Note(), content)


class RemoveTests(StorageCase):
    def test_discard_removes_what_is_ours(self) -> None:
        for complete in (False, True):
            self.leave(KEY, complete=complete).discard()
            self.assertEqual(self.names(), [])
        self.files.discard()

    def test_discard_leaves_a_file_that_only_has_our_name(self) -> None:
        (self.directory / "job").write_bytes(b"somebody's")
        self.leave(KEY, complete=False).discard()
        self.assertEqual(self.names(), ["job"])

    def test_discard_removes_what_has_lost_its_note_in_a_power_cut(self) -> None:
        for torn in (b"", bytes(100), b"{"):
            files = self.leave(KEY, complete=True)
            files.note.write_bytes(torn)
            self.store.clean(None, complete=False)
            self.assertEqual(self.names(), [], torn)

    def test_discard_leaves_a_directory_with_our_name(self) -> None:
        files = self.leave(KEY, complete=True)
        files.complete.unlink()
        files.complete.mkdir()
        files.discard()
        self.assertEqual(self.names(), ["job"])

    def test_clean_keeps_one_execution(self) -> None:
        self.leave(KEY, complete=False)
        self.leave(KEY._replace(number=1), complete=False)
        self.leave(OTHER, complete=True)
        self.store.clean(KEY, complete=True)
        self.assertEqual(self.names(), ["job.2.1700000000.json", "job.2.1700000000.part"])

    def test_clean_can_leave_complete_files(self) -> None:
        self.leave(KEY, complete=False)
        self.leave(OTHER, complete=True)
        self.store.clean(None, complete=False)
        self.assertEqual(self.names(), ["other", "other.1.1600000000.json"])
        (self.directory / "other").unlink()
        self.store.clean(None, complete=False)
        self.assertEqual(self.names(), [])

    def test_clean_never_touches_what_others_have_put_there(self) -> None:
        foreign = (
            "firmware",
            "record.json",
            "job.part",
            "job.1.part",
            "job.01.2.part",
            "job.1.2.part.bak",
            "a b.1.2.part",
            ".job.1.2.part",
            "job.1.2.txt",
        )
        for name in foreign:
            (self.directory / name).write_bytes(b"x")
        (self.directory / "state").mkdir()
        self.leave(OTHER, complete=False)
        self.store.clean(None, complete=True)
        self.assertEqual(self.names(), sorted([*foreign, "state"]))

    def test_clean_of_no_directory_is_nothing(self) -> None:
        Store(self.directory / "none").clean(None, complete=True)
        self.assertFalse((self.directory / "none").exists())

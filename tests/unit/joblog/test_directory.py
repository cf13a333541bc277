"""The names of logs, and which of them are kept."""

from __future__ import annotations

import stat

from tests.unit.joblog.bench import A, B, DirectoryTestCase
from upparat.job import ExecutionKey
from upparat.joblog.directory import KEPT, LogName, UnfitKey


class DirectoryTests(DirectoryTestCase):
    def create(self, key: ExecutionKey) -> LogName:
        name = self.directory.create(key)
        self.directory.files.write(name.segment(0), b"text\n")
        return name

    def test_nothing_there(self) -> None:
        self.assertEqual(self.directory.names(), [])
        self.assertIsNone(self.directory.find(A))
        self.assertFalse(self.path.exists())

    def test_for_the_agent_alone(self) -> None:
        self.create(A)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        [file] = self.path.iterdir()
        self.assertEqual(file.name, "1.a.1.100.0.log")
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)

    def test_order_is_that_of_the_work(self) -> None:
        """Not that of the names, nor of the time in AWS's queue."""
        keys = [ExecutionKey("z", 1, 9), *(ExecutionKey("y", 10 - n, 1) for n in range(4))]
        names = [self.create(key) for key in keys]
        self.assertEqual([name.key for name in self.directory.names()], keys)
        self.assertEqual([name.sequence for name in names], [1, 2, 3, 4, 5])

    def test_the_last_ones_are_kept(self) -> None:
        for number in range(1, 13):
            name = self.create(ExecutionKey("job", number, 0))
            self.directory.files.write(name.segment(500), b"more\n")
            self.directory.files.write(name.upload, b"{}")
        kept = [name.key.number for name in self.directory.names()]
        self.assertEqual(kept, [8, 9, 10, 11, 12])
        self.assertEqual(len(self.files()), KEPT * 3)
        self.assertEqual(self.directory.names()[-1].sequence, 12)

    def test_find(self) -> None:
        self.create(A)
        name = self.create(B)
        self.assertEqual(self.directory.find(B), name)
        self.assertIsNone(self.directory.find(B._replace(queued_at=51)))

    def test_segments_are_ordered_as_numbers(self) -> None:
        name = self.create(A)
        for offset in (131072, 65536, 9):
            self.directory.files.write(name.segment(offset), b"x")
        self.create(B)
        self.assertEqual(self.directory.segments(name), [0, 9, 65536, 131072])

    def test_every_job_id_of_aws_is_a_name(self) -> None:
        for job_id in ("-", "A_b-9:" * 10, "x" * 64):
            name = self.create(ExecutionKey(job_id, 2**63 - 1, 0))
            self.assertEqual(self.directory.find(name.key), name)

    def test_unsafe_names(self) -> None:
        for key in (
            ExecutionKey("../up", 1, 0),
            ExecutionKey("a.b", 1, 0),
            ExecutionKey("", 1, 0),
            ExecutionKey("x" * 65, 1, 0),
            ExecutionKey("a", -1, 0),
            ExecutionKey("a", 1, -1),
        ):
            self.assertRaises(UnfitKey, self.directory.create, key)

    def test_files_of_others_are_left_alone(self) -> None:
        self.path.mkdir(parents=True, mode=0o700)
        others = ["notes.txt", "1.a.1.100.0.log.old", "01.a.1.1.0.log", "1.a.b.1.1.0.log"]
        for name in others:
            (self.path / name).touch()
        for number in range(9):
            self.create(ExecutionKey("job", number, 0))
        self.assertLessEqual(set(others), set(self.files()))
        self.assertEqual(len(self.directory.names()), KEPT)

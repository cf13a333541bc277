"""One log in bounded files, over restarts, power cuts and full disks."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.joblog.bench import A, DirectoryTestCase
from upparat.joblog.directory import LogDirectory
from upparat.joblog.segments import HEAD, LONGEST, SEGMENT, BoundedLog, read_log

BOUND = 256 * 1024


class SegmentsTestCase(DirectoryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.name = self.directory.create(A)
        self.opened()

    def opened(self) -> None:
        """Go on as a new agent."""
        self.log = BoundedLog(self.directory, self.name)
        self.addCleanup(self.log.close)

    def read(self) -> bytes:
        return read_log(self.directory, self.name)

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.path.iterdir())


class SegmentsTests(SegmentsTestCase):
    def test_lines_are_there_at_once(self) -> None:
        self.log.append(b"one\n")
        self.log.append(b"two\n")
        self.assertEqual(self.read(), b"one\ntwo\n")
        [file] = self.path.iterdir()
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)

    def test_over_a_restart(self) -> None:
        self.log.append(b"one\n")
        self.log.close()
        self.opened()
        self.log.append(b"two\n")
        self.assertEqual(self.read(), b"one\ntwo\n")

    def test_beginning_and_end_are_kept(self) -> None:
        lines = [f"line {number:06}\n".encode() for number in range(100_000)]
        for number, line in enumerate(lines):
            self.log.append(line)
            if number % 1000 == 0:
                self.assertLessEqual(self.size(), BOUND)
            if number % 7000 == 0:
                self.opened()
        whole, kept = b"".join(lines), self.read()
        head, gone, tail = kept.partition("… ".encode())
        self.assertGreater(len(head), HEAD - LONGEST)
        self.assertTrue(whole.startswith(head))
        count, _, rest = tail.partition(b" bytes are gone ")
        end = rest.partition(b"\n")[2]
        self.assertGreaterEqual(len(end), SEGMENT - LONGEST)
        self.assertTrue(whole.endswith(end))
        self.assertEqual(len(head) + int(count) + len(end), len(whole))
        self.assertTrue(gone)
        self.assertLessEqual(len(kept), BOUND + 100)

    def test_nothing_is_gone_before_the_bound(self) -> None:
        line = b"x" * 1023 + b"\n"
        for _ in range(BOUND // 1024):
            self.log.append(line)
        self.assertEqual(self.read(), line * (BOUND // 1024))

    def test_a_huge_line(self) -> None:
        self.log.append(b"x" * 10_000_000 + b"\n")
        self.log.append(b"next\n")
        self.assertEqual(self.read(), b"x" * (LONGEST - 1) + b"\nnext\n")

    def test_a_torn_line(self) -> None:
        """A power cut keeps some bytes of a line."""
        self.directory.files.write(self.name.segment(0), b"one\ntw")
        self.assertEqual(self.read(), b"one\ntw\n")
        self.log.append(b"three\n")
        self.log.append(b"four\n")
        self.assertEqual(self.read(), b"one\ntw\nthree\nfour\n")

    def test_zeros_of_a_power_cut(self) -> None:
        self.directory.files.write(self.name.segment(0), b"one\n" + bytes(100))
        self.log.append(b"two\n")
        self.assertEqual(self.read(), b"one\n\ntwo\n")

    def test_a_segment_that_a_power_cut_has_shortened(self) -> None:
        self.directory.files.write(self.name.segment(0), b"one\n")
        self.directory.files.write(self.name.segment(10), b"")
        self.directory.files.write(self.name.segment(20), b"two\n")
        lines = ["one", "… 6 bytes are gone …", "… 10 bytes are gone …", "two"]
        self.assertEqual(self.read().decode().splitlines(), lines)

    def test_a_log_without_its_beginning(self) -> None:
        self.directory.files.write(self.name.segment(20), b"two\n")
        self.assertEqual(self.read().decode().splitlines(), ["… 20 bytes are gone …", "two"])

    def test_the_log_is_removed_meanwhile(self) -> None:
        self.log.append(b"one\n")
        [file] = self.path.iterdir()
        file.unlink()
        self.log.append(b"two\n")
        self.assertEqual(self.read(), b"")


class FullDiskTests(SegmentsTestCase):
    def test_a_line_that_has_no_room(self) -> None:
        real, room = os.write, 6

        def write(descriptor: int, data: bytes) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "full")
            written = real(descriptor, data[:room])
            room -= written
            return written

        self.patch(os, "write", write)
        self.log.append(b"one\n")
        for _ in range(3):
            self.assertEqual(self.assertRaises(OSError, self.log.append, b"two\n").errno, 28)
        room = 100
        self.log.append(b"three\n")
        self.assertEqual(self.read(), b"one\ntw\nthree\n")

    def test_a_file_of_others(self) -> None:
        (self.path / self.name.segment(0)).symlink_to("/dev/null")
        self.assertRaises(OSError, self.log.append, b"one\n")


class BoundTests(SegmentsTestCase):
    @given(st.lists(st.tuples(st.integers(1, 40_000), st.booleans()), max_size=60))
    def test_any_lines(self, lines: list[tuple[int, bool]]) -> None:
        self.path = Path(mkdtemp(dir=self.path.parent))
        self.directory = LogDirectory(self.path)
        self.name = self.directory.create(A)
        self.opened()
        sizes: list[int] = []
        for length, restart in lines:
            sizes.append(min(length, LONGEST))
            self.log.append(b"y" * (length - 1) + b"\n")
            if restart:
                self.log.close()
                self.opened()
        self.log.close()
        self.assertLessEqual(self.size(), BOUND)
        kept: Any = self.read()
        gone = [int(line.split()[1]) for line in kept.splitlines() if line.startswith(b"\xe2")]
        text = b"".join(line + b"\n" for line in kept.splitlines() if not line.startswith(b"\xe2"))
        self.assertEqual(len(text) + sum(gone), sum(sizes))
        self.assertLessEqual(len(gone), 1)
        for path in self.path.iterdir():
            path.unlink()

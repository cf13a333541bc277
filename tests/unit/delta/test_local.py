"""Zchunk files of this machine. A script takes the place of ``zck``; the real one is asked once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.zchunk import changed, image, requires_zck
from tests.unit.delta.bench import zchunk
from upparat.delta.header import DeltaError, Header, parse_header
from upparat.delta.local import Cost, cost, header_of, make, read_header

CHUNKS = [b"one" * 50, b"two" * 60, b"three"]
CONTENT = b"".join(CHUNKS)


class LocalBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.file = self.directory / "file"
        self.file.write_bytes(CONTENT)
        self.made = self.directory / "made.zck"

    def program(self, script: str) -> None:
        """A ``zck`` of this script: ``$3`` is its output."""
        programs = self.directory / "programs"
        programs.mkdir(exist_ok=True)
        path = programs / "zck"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        found = f"{programs.absolute()}:{os.defpath}"
        self.patch(os, "environ", {**os.environ, "PATH": found})

    def copies(self, content: bytes) -> None:
        (self.directory / "ready").write_bytes(content)
        self.program(f'cp "{self.directory.absolute()}/ready" "$3"')

    def left(self) -> list[str]:
        return [each for each in os.listdir(self.directory) if each.startswith(".zck")]

    def problem(self) -> str:
        problem = self.assertRaises(DeltaError, make, self.file, self.made)
        self.assertFalse(self.made.exists())
        self.assertEqual(self.left(), [])
        return str(problem)


class MakeTests(LocalBench):
    def test_it_is_made(self) -> None:
        data = zchunk(CHUNKS)
        self.copies(data)
        self.assertEqual(make(self.file, self.made), parse_header(data))
        self.assertEqual((self.made.read_bytes(), self.left()), (data, []))

    @requires_zck
    def test_the_real_program(self) -> None:
        header = make(self.file, self.made)
        self.assertEqual(header.size, len(CONTENT))
        self.assertEqual(read_header(self.made), header)

    def test_no_file(self) -> None:
        self.file = self.directory
        self.assertEqual(self.problem(), f"{self.file} is no file")

    def test_the_program_is_missing(self) -> None:
        self.patch(os, "environ", {**os.environ, "PATH": str(self.directory)})
        told = "the program zck is missing; Debian's package is zchunk"
        self.assertEqual(self.problem(), told)

    def test_the_program_fails(self) -> None:
        self.program("echo no >&2; echo room >&2; exit 1")
        self.assertEqual(self.problem(), "zck: no room")
        self.program("exit 3")
        self.assertEqual(self.problem(), "zck: it ends with status 3")

    def test_a_file_that_changes_meanwhile(self) -> None:
        self.copies(zchunk(CHUNKS[1:]))
        self.assertEqual(self.problem(), f"{self.file} has changed meanwhile")

    def test_what_an_agent_cannot_use(self) -> None:
        self.copies(zchunk(CHUNKS, flags=0))
        self.assertIn("zck -u", self.problem())

    def test_a_target_that_cannot_be_written(self) -> None:
        self.copies(zchunk(CHUNKS))
        folder, missing = self.directory / "folder", self.directory / "missing" / "made"
        folder.mkdir()
        for target in (folder, missing):
            error = self.assertRaises(OSError, make, self.file, target)
            self.assertEqual(error.filename, str(target))
        self.assertEqual(self.left(), [])


class ReadTests(LocalBench):
    def test_a_header(self) -> None:
        data = zchunk(CHUNKS)
        self.made.write_bytes(data)
        self.assertEqual(read_header(self.made), parse_header(data))

    def test_another_length(self) -> None:
        data = zchunk(CHUNKS)
        for wrong in (data[:-1], data + b"x"):
            self.made.write_bytes(wrong)
            problem = self.assertRaises(DeltaError, read_header, self.made)
            told = f"{self.made}: it has other bytes than its header says"
            self.assertEqual(str(problem), told)

    def test_no_zchunk_file(self) -> None:
        problem = self.assertRaises(DeltaError, read_header, self.file)
        self.assertEqual(str(problem), f"{self.file}: this is no zchunk file")
        self.assertRaises(FileNotFoundError, read_header, self.made)

    def test_of_any_file(self) -> None:
        """A file that is no zchunk file is made one, and nothing is left of it."""
        data = zchunk(CHUNKS)
        self.copies(data)
        self.made.write_bytes(data)
        temporary = self.directory / "temporary"
        temporary.mkdir()
        self.patch(tempfile, "tempdir", str(temporary.absolute()))
        for path in (self.file, self.made):
            with header_of(path) as header:
                self.assertEqual(header, parse_header(data))
            self.assertEqual(os.listdir(temporary), [])


class CostTests(SynchronousTestCase):
    def test_new_chunks(self) -> None:
        old, data = parse_header(zchunk(CHUNKS)), zchunk([CHUNKS[2], b"new", CHUNKS[0], b"last"])
        new = parse_header(data)
        begin, end = new.chunks[1].begin, new.chunks[3].end  # the gap is fetched along
        expected = Cost(4, 2, 1, end - begin, new.length, len(data), len(CONTENT) - 180 + 7)
        self.assertEqual(cost(old, new), expected)

    def test_no_new_chunks(self) -> None:
        header = parse_header(zchunk(CHUNKS))
        found = cost(header, header)
        self.assertEqual((found.new, found.ranges, found.fetched), (0, 0, 0))

    def test_digests_of_another_kind(self) -> None:
        new = parse_header(zchunk(CHUNKS))
        old = Header(**{**vars(new), "checksum": new.checksum._replace(size=16)})
        self.assertEqual(cost(old, new).new, 3)

    @requires_zck
    def test_the_real_program(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        headers, content = [], image(400_000)
        for number, each in enumerate((content, changed(content, 100_000))):
            file = directory / str(number)
            file.write_bytes(each)
            headers.append(make(file, file.with_suffix(".zck")))
        found = cost(*headers)
        self.assertTrue(0 < found.new <= 3 < found.chunks, found)
        self.assertLess(found.fetched, found.packed)

"""The zchunk file of a release. A script takes the place of ``zck``."""

from __future__ import annotations

import io
import os

from tests.unit.delta.bench import zchunk
from upparat.publish.deltafile import make_delta
from upparat.publish.firmware import FirmwareFile
from upparat.publish.progress import Console
from upparat.publish.request import BadArgument

from .bench import PublishBench

CHUNKS = [b"firm", b"ware"]


class DeltaBench(PublishBench):
    """``zck`` makes the file that it is told to."""

    def setUp(self) -> None:
        super().setUp()
        self.told = io.StringIO()
        self.scratch = self.directory / "scratch"
        self.scratch.mkdir()
        self.zck(zchunk(CHUNKS))

    def zck(self, made: bytes | None) -> None:
        """Let ``zck`` make this; ``None``: it is missing."""
        programs = self.directory / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "made").write_bytes(made or b"")
        script = programs / "zck"
        script.write_text(f'#!/bin/sh\n/bin/cp "{programs}/made" "$3"\n')
        script.chmod(0o755 if made is not None else 0o644)
        self.patch(os, "environ", {**os.environ, "PATH": str(programs)})
        if made is None:
            script.unlink()


class MakeDeltaTests(DeltaBench):
    def make(self) -> FirmwareFile:
        return make_delta(self.file(), self.scratch, Console(self.told))

    def test_it_is_made_and_examined(self) -> None:
        made = self.make()
        self.assertEqual(made.path, self.scratch / "image.bin.zck")
        self.assertEqual(made.path.read_bytes(), zchunk(CHUNKS))
        self.assertEqual(made.size, len(zchunk(CHUNKS)))
        self.assertEqual(
            self.told.getvalue().splitlines(),
            ["Making the zchunk file of image.bin", f"It has {made.size} bytes in 2 chunks"],
        )

    def test_problems_name_the_option(self) -> None:
        self.zck(None)
        error = self.assertRaises(BadArgument, self.make)
        self.assertEqual(
            str(error), "--delta: the program zck is missing; Debian's package is zchunk"
        )
        self.zck(b"something else")
        self.assertIn("this is no zchunk file", str(self.assertRaises(BadArgument, self.make)))

    def test_a_directory_that_takes_nothing(self) -> None:
        self.scratch.rmdir()
        error = self.assertRaises(BadArgument, self.make)
        self.assertEqual(
            str(error), f"--delta: {self.scratch}/image.bin.zck: No such file or directory"
        )

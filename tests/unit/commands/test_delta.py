"""``upparat delta``: what it makes, and what it prints."""

from __future__ import annotations

import os

from tests.support.zchunk import changed, image, requires_zck
from tests.unit.commands.bench import CommandBench, loaded
from tests.unit.delta.bench import zchunk
from upparat.commands import main as cli
from upparat.delta.header import parse_header

CHUNKS = [b"one" * 500, b"two" * 600, b"three"]


class DeltaTests(CommandBench):
    def setUp(self) -> None:
        super().setUp()
        self.old, self.new = self.directory / "old.zck", self.directory / "new.zck"
        self.old.write_bytes(zchunk(CHUNKS))

    def delta(self, *words: object) -> list[str]:
        """The lines that are printed."""
        self.out.truncate(0)
        self.out.seek(0)
        cli.main(["delta", *map(str, words)])
        return self.out.getvalue().splitlines()

    def problem(self, *words: object) -> str:
        error = self.assertRaises(SystemExit, self.delta, *words)
        self.assertEqual((error.code, self.out.getvalue()), (2, ""))
        return self.err.getvalue().splitlines()[-1]

    def test_info(self) -> None:
        self.new.write_bytes(zchunk([*CHUNKS, b"new"]))
        header = parse_header(self.new.read_bytes())
        fetched = header.chunks[-1].packed
        total, size = fetched + header.length, header.size
        self.assertEqual(
            self.delta("info", self.old, self.new),
            [
                "1 of 4 chunks are new",
                f"{fetched} bytes in 1 ranges, and {header.length} bytes of header",
                f"{total} bytes in all: {100 * total / size:.1f} % of the {size} bytes of the file",
            ],
        )

    def test_an_empty_file(self) -> None:
        self.new.write_bytes(zchunk([]))
        *_, last = self.delta("info", self.old, self.new)
        length = parse_header(self.new.read_bytes()).length
        self.assertEqual(last, f"{length} bytes in all")

    @requires_zck
    def test_make(self) -> None:
        content, file = image(400_000), self.directory / "file"
        for made, data in ((self.old, content), (self.new, changed(content, 100_000))):
            file.write_bytes(data)
            [line] = self.delta("make", file, "-o", made)
            header = parse_header(made.read_bytes())
            self.assertRegex(
                line,
                rf"^{made}: {header.total} bytes in {len(header.chunks)} chunks:"
                rf" \d+\.\d % of the {len(data)} bytes of the file$",
            )
        file.write_bytes(content)
        lines = self.delta("info", self.old, self.new)
        self.assertEqual(self.delta("info", file, self.new), lines)

    def test_files_that_cannot_be_used(self) -> None:
        missing, told = self.directory / "missing", "upparat delta: error: "
        no_file = f"{told}{missing}: No such file or directory"
        for words in ((self.old, missing), (missing, self.old)):
            self.assertEqual(self.problem("info", *words), no_file)
        self.new.write_bytes(b"text")
        problem = self.problem("info", self.old, self.new)
        self.assertEqual(problem, f"{told}{self.new}: this is no zchunk file")
        problem = self.problem("make", missing, "-o", self.new)
        self.assertEqual(problem, f"{told}{missing} is no file")

    def test_the_program_is_missing(self) -> None:
        self.patch(os, "environ", {**os.environ, "PATH": str(self.directory)})
        problem = self.problem("make", self.config, "-o", self.new)
        self.assertIn("the program zck is missing", problem)

    def test_it_imports_no_reactor(self) -> None:
        modules = loaded("delta", "info", self.old, self.old)
        self.assertIn("upparat.commands.delta", modules)
        self.assertNotIn("twisted.internet.reactor", modules)

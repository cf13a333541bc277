"""The linker of a program, from its bytes."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from tests.unit.doctor.bench import DoctorBench
from upparat.doctor.elf import MAGIC, linker_of
from upparat.doctor.hooks import judge_hook

LINKER = b"/lib/ld-none.so.1\0"


def program(wide: bool, order: str) -> bytes:
    """The beginning of a program with two segments; the second one names the linker."""
    mark = MAGIC + bytes([2 if wide else 1, 2 if order == ">" else 1]) + bytes(10)
    if wide:
        rest = struct.pack(f"{order}HHIQQQIHHHHHH", 2, 0, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
        entries = [(1, 0, 0, 0, 0, 0, 0, 0), (3, 0, 176, 0, 0, len(LINKER), 0, 0)]
        table = b"".join(struct.pack(f"{order}IIQQQQQQ", *entry) for entry in entries)
    else:
        rest = struct.pack(f"{order}HHIIIIIHHHHHH", 2, 0, 1, 0, 52, 0, 0, 52, 32, 2, 0, 0, 0)
        small = [(1, 0, 0, 0, 0, 0, 0, 0), (3, 116, 0, 0, len(LINKER), 0, 0, 0)]
        table = b"".join(struct.pack(f"{order}IIIIIIII", *entry) for entry in small)
    return mark + rest + table + LINKER


class ElfTests(DoctorBench):
    def test_each_kind_of_program(self) -> None:
        for wide in (True, False):
            for order in ("<", ">"):
                path = self.script(program(wide, order))
                self.assertEqual(linker_of(path), "/lib/ld-none.so.1")
                self.says(judge_hook("hook install", str(path)), "failed", "/lib/ld-none.so.1")

    def test_a_real_one(self) -> None:
        linker = linker_of(Path(sys.executable).resolve())
        self.assertTrue(not linker or Path(linker).is_file(), linker)

    def test_files_that_are_cut_short(self) -> None:
        whole = program(True, "<")
        for length in range(len(whole) - len(LINKER)):
            self.assertEqual(linker_of(self.script(whole[:length])), "")

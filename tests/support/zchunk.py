"""Zchunk files by the real program, and files that resemble each other."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

requires_zck = pytest.mark.skipif(
    shutil.which("zck") is None, reason="needs zck: apt-get install zchunk"
)

GENERATOR = 0x1_DB710641
"""The polynomial of CRC-32, which takes the lowest bit of each byte first."""


def zck(directory: Path, content: bytes, *options: str) -> bytes:
    """The zchunk file of this content; by default as ``upparat delta make`` makes it."""
    file, made = directory / "content", directory / "content.zck"
    file.write_bytes(content)
    command = ["zck", *(options or ["-u"]), "-o", str(made), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return made.read_bytes()


def image(size: int = 3_000_000, seed: int = 1) -> bytes:
    """Bytes that no program can pack, with zeros in the middle."""
    random_bytes = random.Random(seed).randbytes
    return random_bytes(size // 2) + bytes(size // 4) + random_bytes(size - size // 2 - size // 4)


def of_the_same_sum(content: bytes, place: int) -> bytes:
    """Other content that has the same CRC-32: it differs there by the generator of CRC-32."""
    other = int.from_bytes(content[place : place + 5], "little") ^ GENERATOR
    return content[:place] + other.to_bytes(5, "little") + content[place + 5 :]


def changed(content: bytes, *places: int) -> bytes:
    """The content with a few other bytes, and a few more, at each place."""
    parts, last = [], 0
    for number, place in enumerate(sorted(places)):
        parts += [content[last:place], random.Random(number).randbytes(150)]
        last = place + 100
    return b"".join([*parts, content[last:]])

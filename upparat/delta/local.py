"""Zchunk files of this machine: made by ``zck``, read, and compared."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .header import LEAD, MAGIC, DeltaError, Header, parse_header, parse_lead
from .plan import make_plan

PROGRAM = "zck"


def make(file: Path, target: Path) -> Header:
    """Make the zchunk file of a file, and return its header.

    :raises DeltaError: if ``zck`` is missing or fails, or makes what an agent cannot use.
    :raises OSError: if the target cannot be written.
    """
    if not file.is_file():
        raise DeltaError(f"{file} is no file")
    with _naming(target):
        scratch = tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".zck-")
    with scratch:
        made = Path(scratch.name, "made")
        _run([PROGRAM, "-u", "-o", str(made), str(file.absolute())])
        header = read_header(made)
        if header.size != file.stat().st_size:
            raise DeltaError(f"{file} has changed meanwhile")
        with _naming(target):
            made.replace(target)
    return header


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Let errors name the target instead of a file that nobody knows."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError:
        name = command[0]
        raise DeltaError(f"the program {name} is missing; Debian's package is zchunk") from None
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"it ends with status {done.returncode}"
        raise DeltaError(f"{command[0]}: {words}")


def read_header(path: Path) -> Header:
    """Read the header of a zchunk file.

    :raises DeltaError: if it has none, or is not as long as the header says.
    :raises OSError: if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            lead = parse_lead(stream.read(LEAD))
            stream.seek(0)
            header = parse_header(stream.read(lead.end))
            if stream.seek(0, 2) != header.total:
                raise DeltaError("it has other bytes than its header says")
    except DeltaError as problem:
        raise DeltaError(f"{path}: {problem}") from None
    return header


@contextmanager
def header_of(path: Path) -> Iterator[Header]:
    """Read the header of a zchunk file, or of one that is made of any other file for a while."""
    with path.open("rb") as stream:
        packed = stream.read(len(MAGIC)) == MAGIC
    if packed:
        yield read_header(path)
        return
    with tempfile.TemporaryDirectory(prefix="upparat-") as scratch:
        yield make(path, Path(scratch, "made"))


@dataclass(frozen=True)
class Cost:
    """What an update costs.

    :ivar chunks: of the new file.
    :ivar new: of them, those that the old file does not have.
    :ivar ranges: to fetch.
    :ivar fetched: bytes of the ranges.
    :ivar header: bytes of the header, which is fetched as well.
    :ivar packed: bytes of the zchunk file.
    :ivar size: bytes of the new file.
    """

    chunks: int
    new: int
    ranges: int
    fetched: int
    header: int
    packed: int
    size: int


def cost(old: Header, new: Header) -> Cost:
    """What a device with the old file fetches for the new one."""
    known = {chunk.digest for chunk in old.chunks} if old.checksum == new.checksum else set()
    missing = [number for number, chunk in enumerate(new.chunks) if chunk.digest not in known]
    plan = make_plan(new, missing)
    return Cost(
        chunks=len(new.chunks),
        new=len(missing),
        ranges=len(plan.spans),
        fetched=plan.fetched,
        header=new.length,
        packed=new.total,
        size=new.size,
    )

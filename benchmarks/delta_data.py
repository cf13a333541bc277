"""Two versions of an image for the benchmark of deltas, which differ by so many per cent.

The image is an ext4 file system of files of this machine. In the new version some of them have
other bytes, which pack as well as the old ones, and a few more at their end.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
CHANGES = (0, 1, 5, 20, 100)
"""Per cent of the bytes of all files that belong to files which differ."""

OTHER = bytes((byte + 77) % 256 for byte in range(256))
"""What each byte of a file that differs becomes."""

SOURCES = (Path("/usr/lib"), Path("/usr/share"), Path("/usr/bin"))


@dataclass(frozen=True)
class Version:
    """An image and what is made of it, all in one directory."""

    image: Path

    @property
    def zck(self) -> Path:
        return self.image.with_suffix(".zck")

    @property
    def patch(self) -> Path:
        """By xdelta3, from the old version."""
        return self.image.with_suffix(".xdelta")

    @property
    def sha256(self) -> str:
        with self.image.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def old(directory: Path) -> Version:
    return Version(directory / "old.img")


def new(directory: Path, change: int) -> Version:
    return Version(directory / f"new-{change}.img")


def make(directory: Path, size: int) -> None:
    """Make all versions in a directory, unless they are there.

    :param size: of an image in MiB.
    """
    if (directory / "made").exists():
        return
    tree = directory / "tree"
    files = list(fill(tree, size * MIB * 3 // 4))
    make_image(tree, old(directory), size)
    total, done = sum(each.stat().st_size for each in files), 0
    for change in CHANGES:
        while files and done < total * change // 100:
            done += change_file(files.pop())
        make_image(tree, version := new(directory, change), size)
        if shutil.which("xdelta3"):
            _run(
                "xdelta3",
                "-e",
                "-f",
                "-B",
                f"{size * MIB}",
                "-s",
                f"{old(directory).image}",
                f"{version.image}",
                f"{version.patch}",
            )
    shutil.rmtree(tree)
    (directory / "made").touch()


def fill(tree: Path, size: int) -> Iterator[Path]:
    """Copy files of this machine, in an order that chance makes."""
    found = [path for source in SOURCES for path in sorted(source.rglob("*")) if _usable(path)]
    random.Random(1).shuffle(found)
    for number, path in enumerate(found):
        target = tree / str(number % 100) / f"{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        yield target
        size -= target.stat().st_size
        if size <= 0:
            return


def _usable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and 1000 < path.stat().st_size < 2 * MIB


def change_file(file: Path) -> int:
    """Change a file. Returns how many bytes it had."""
    content = file.read_bytes()
    file.write_bytes(content.translate(OTHER) + content[:100])
    return len(content)


def make_image(tree: Path, version: Version, size: int) -> None:
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (1_600_000_000, 1_600_000_000))
    options = ["-m", "0", "-O", "^has_journal", "-U", "00000000-0000-0000-0000-000000000001", "-E"]
    seed = "hash_seed=00000000-0000-0000-0000-000000000002"
    version.image.unlink(missing_ok=True)
    _run("mkfs.ext4", "-q", "-d", f"{tree}", *options, seed, f"{version.image}", f"{size}M")
    _run("zck", "-u", "-o", f"{version.zck}", f"{version.image}")


def _run(*words: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    subprocess.run(words, check=True, capture_output=True, env=environment)


def versions(directory: Path) -> Sequence[tuple[int, Version]]:
    """The new ones, each with its change in per cent."""
    return [(change, new(directory, change)) for change in CHANGES]

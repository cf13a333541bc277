"""Versions of an image for the benchmark of deltas, which differ by so many per cent.

The image holds files of this machine, as an ext4 file system, as squashfs and as a tar. In a new
version some of them have other bytes, which pack as well as the old ones, and a few more at their
end.
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

KINDS = EXT4, SQUASHFS, TAR = ("ext4", "squashfs", "tar")
"""Kinds of images; each is the suffix of its files."""

MKSQUASHFS = (
    "-noappend",
    "-quiet",
    "-no-progress",
    "-no-xattrs",
    "-mkfs-time",
    "0",
    "-comp",
    "zstd",
)

SOURCES = (Path("/usr/lib"), Path("/usr/share"), Path("/usr/bin"))


@dataclass(frozen=True)
class Version:
    """An image and what is made of it, all in one directory."""

    image: Path

    @property
    def zck(self) -> Path:
        return self.image.with_name(f"{self.image.name}.zck")

    @property
    def patch(self) -> Path:
        """By xdelta3, from the old version; of ext4 alone."""
        return self.image.with_name(f"{self.image.name}.xdelta")

    @property
    def sha256(self) -> str:
        with self.image.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def old(directory: Path, kind: str = EXT4) -> Version:
    return Version(directory / f"old.{kind}")


def new(directory: Path, change: int, kind: str = EXT4) -> Version:
    return Version(directory / f"new-{change}.{kind}")


def make(directory: Path, size: int) -> None:
    """Make all versions in a directory, unless they are there.

    :param size: of the ext4 image in MiB.
    """
    if (directory / "made").exists():
        return
    tree = directory / "tree"
    files = list(fill(tree, size * MIB * 3 // 4))
    for kind in KINDS:
        make_version(tree, old(directory, kind), size)
    total, done = sum(each.stat().st_size for each in files), 0
    for change in CHANGES:
        while files and done < total * change // 100:
            done += change_file(files.pop())
        for kind in KINDS:
            make_version(tree, new(directory, change, kind), size)
        if shutil.which("xdelta3"):
            version = new(directory, change)
            options = f"-e -f -B {size * MIB} -s {old(directory).image}".split()
            _run("xdelta3", *options, f"{version.image}", f"{version.patch}")
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


def make_version(tree: Path, version: Version, size: int) -> None:
    """Make an image of the kind that its name ends with, and its zchunk file."""
    image = version.image
    image.unlink(missing_ok=True)
    if image.suffix == f".{SQUASHFS}":
        _run("mksquashfs", f"{tree}", f"{image}", *MKSQUASHFS)
    elif image.suffix == f".{TAR}":
        _run("tar", "--sort=name", "--mtime=@0", "-C", f"{tree}", "-cf", f"{image}", ".")
    else:
        make_image(tree, image, size)
    _run("zck", "-u", "-o", f"{version.zck}", f"{image}")


def make_image(tree: Path, image: Path, size: int) -> None:
    """Make an ext4 image of so many MiB."""
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (1_600_000_000, 1_600_000_000))
    options = ["-m", "0", "-O", "^has_journal", "-U", "00000000-0000-0000-0000-000000000001", "-E"]
    seed = "hash_seed=00000000-0000-0000-0000-000000000002"
    _run("mkfs.ext4", "-q", "-d", f"{tree}", *options, seed, f"{image}", f"{size}M")


def _run(*words: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    subprocess.run(words, check=True, capture_output=True, env=environment)


def versions(directory: Path, kind: str = EXT4) -> Sequence[tuple[int, Version]]:
    """The new ones, each with its change in per cent."""
    return [(change, new(directory, change, kind)) for change in CHANGES]

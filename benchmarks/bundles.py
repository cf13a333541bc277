"""What an update costs with a delta of a bundle: ``python -m benchmarks.bundles [--help]``.

Two versions of a root file system become images, RAUC bundles and ``.swu`` files, each in several
ways, by the scripts of the examples. ``upparat delta info`` says what an update fetches. Prints a
table; ``--write`` keeps it in ``docs/installers.md``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .delta_data import MIB, MKSQUASHFS, change_file, fill, make_image
from .downloads import ROOT, write

DOCS = ROOT / "docs" / "installers.md"
EXAMPLES = ROOT / "examples"
CHANGES = (1, 5)
"""Per cent of the bytes of all files that belong to files which differ."""

PLAIN = "--mksquashfs-args=-noI -noD -noF -noX"
SMALL = "--mksquashfs-args=-comp zstd -b 16K"


@dataclass(frozen=True)
class Form:
    """A kind of file that a job can name.

    :param image: the image inside: the suffix of its name.
    :param bundle: the script that puts the image into a bundle; none if it is the file.
    :param options: those of ``rauc bundle``.
    """

    name: str
    image: str
    bundle: str = ""
    options: tuple[str, ...] = ()
    format: str = "plain"


FORMS = (
    Form("ext4", "img"),
    Form("ext4, packed by gzip", "img.gz"),
    Form("squashfs, zstd, 128 KiB blocks", "128K"),
    Form("squashfs, zstd, 16 KiB blocks", "16K"),
    Form("RAUC bundle of the ext4 image", "img", "rauc/make-bundle"),
    Form("the same, `-comp zstd -b 16K`", "img", "rauc/make-bundle", (SMALL,)),
    Form("the same, not packed", "img", "rauc/make-bundle", (PLAIN,)),
    Form("the same, `verity`, not packed", "img", "rauc/make-bundle", (PLAIN,), "verity"),
    Form("RAUC bundle of squashfs, 16 KiB blocks", "16K", "rauc/make-bundle"),
    Form("the same, bundle not packed", "16K", "rauc/make-bundle", (PLAIN,)),
    Form("`.swu` of the ext4 image", "img", "swupdate/make-swu"),
    Form("`.swu` of the ext4 image, packed by gzip", "img.gz", "swupdate/make-swu"),
    Form("`.swu` of squashfs, 16 KiB blocks", "16K", "swupdate/make-swu"),
)


def run(*words: str, **environment: str) -> str:
    path = f"{os.environ['PATH']}:/usr/sbin"
    variables = {**os.environ, "PATH": path, **environment}
    return subprocess.run(words, check=True, capture_output=True, text=True, env=variables).stdout


def upparat(*words: str) -> str:
    return run(str(Path(sys.executable).with_name("upparat")), *words)


class Versions:
    """The old version and the new ones, each in a directory of its own.

    :param size: of an image in MiB.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self.directory = directory
        run(str(EXAMPLES / "swupdate" / "make-keys"), str(directory / "keys"))
        tree = directory / "tree"
        files = list(fill(tree, size * MIB * 3 // 4))
        total, done = sum(each.stat().st_size for each in files), 0
        for change in (0, *CHANGES):
            while files and done < total * change // 100:
                done += change_file(files.pop())
            self._images(tree, directory / str(change), size)

    @staticmethod
    def _images(tree: Path, here: Path, size: int) -> None:
        here.mkdir()
        image = here / "root.img"
        make_image(tree, image, size)
        run("gzip", "--keep", "--no-name", str(image))
        for block in ("128K", "16K"):
            target = str(here / f"root.{block}")
            run("mksquashfs", str(tree), target, *MKSQUASHFS, "-b", block)

    def file(self, form: Form, change: int) -> Path:
        """The file of a job in this form."""
        here = self.directory / str(change)
        image, file = here / f"root.{form.image}", here / "bundle"
        if not form.bundle:
            return image
        words = (str(EXAMPLES / form.bundle), str(change), str(image), str(file), *form.options)
        run(*words, KEYS=str(self.directory / "keys"), FORMAT=form.format)
        return file

    def chunks(self, form: Form, change: int) -> tuple[Path, int]:
        """The zchunk file of the file of a job, and the size of that file."""
        file, zck = self.file(form, change), self.directory / f"{change}.zck"
        upparat("delta", "make", str(file), "-o", str(zck))
        return zck, file.stat().st_size


def fetched(old: Path, new: Path) -> int:
    """The bytes of an update."""
    told = re.search(r"(\d+) bytes in all", upparat("delta", "info", str(old), str(new)))
    assert told is not None
    return int(told[1])


def lines(versions: Versions, size: int) -> Iterator[str]:
    yield f"An ext4 image of {size} MiB, three quarters of it files of a Debian 12."
    yield ""
    yield "| file of the job | its size | its `.zck` | 1 % changed | 5 % changed |"
    yield "|---|---|---|---|---|"
    for form in FORMS:
        old, whole = versions.chunks(form, 0)
        news = [versions.chunks(form, change)[0] for change in CHANGES]
        figures = [whole, old.stat().st_size, *(fetched(old, new) for new in news)]
        yield f"| {form.name} | {' | '.join(f'{each / MIB:.1f} MiB' for each in figures)} |"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bundles")
    parser.add_argument("--size", type=int, default=40, help="of the image, in MiB")
    parser.add_argument("--write", action="store_true", help="keep the table in the docs")
    arguments = parser.parse_args(argv)
    missing = [each for each in ("rauc", "mksquashfs", "zck") if shutil.which(each) is None]
    if missing:
        parser.error(f"needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="upparat-bench-") as name:
        told = []
        for line in lines(Versions(Path(name), arguments.size), arguments.size):
            print(line, flush=True)
            told.append(line)
    if arguments.write:
        write("bundles", told, DOCS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The two images of the demonstration; most of the second one is the first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

APART = 5_000_000
"""Bytes between two places at which the second image differs from the first."""

_CHANGED = 4096
"""Bytes that are replaced at each place."""


@dataclass(frozen=True)
class DemoImage:
    """A file, and the version that it installs."""

    job_id: str
    version: str
    file: Path


def make_images(directory: Path, size: int) -> Sequence[DemoImage]:
    """Make the files.

    :param size: of an image in bytes. Nothing packs an image, because it is of random bytes.
    """
    directory.mkdir()
    image = os.urandom(size)
    return [
        _image(directory, "2.0.0", image),
        _image(directory, "2.1.0", changed(image)),
    ]


def _image(directory: Path, version: str, image: bytes) -> DemoImage:
    file = directory / f"image-{version}.bin"
    file.write_bytes(image)
    return DemoImage(f"demo-update-{version.replace('.', '-')}", version, file)


def changed(image: bytes) -> bytes:
    """Return an image with other bytes at a few places, and a few more at the end."""
    new = bytearray(image)
    for place in range(0, len(image), APART):
        new[place : place + _CHANGED] = os.urandom(_CHANGED)
    return bytes(new) + os.urandom(100)

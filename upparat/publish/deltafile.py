"""The zchunk file of a release, by which devices fetch only what has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from upparat.delta.header import DeltaError
from upparat.delta.local import PROGRAM, make

from .firmware import FirmwareFile, examine
from .progress import Console
from .request import BadArgument

MISSING = f"the program {PROGRAM} is missing; Debian's package is zchunk"


def can_make() -> bool:
    """Whether the program is there."""
    return shutil.which(PROGRAM) is not None


def make_delta(file: Path, scratch: Path, console: Console) -> FirmwareFile:
    """Make the zchunk file of a file, and examine it.

    :param scratch: a directory for it, which has to last until it is uploaded.
    :raises BadArgument: if ``zck`` is missing or fails, or there is no room.
    """
    console.line(f"Making the zchunk file of {file.name}")
    target = scratch / f"{file.name}.zck"
    try:
        header = make(file, target)
    except DeltaError as problem:
        raise BadArgument(f"--delta: {problem}") from None
    except OSError as error:
        raise BadArgument(f"--delta: {error.filename}: {error.strerror}") from None
    console.line(f"It has {header.total} bytes in {len(header.chunks)} chunks")
    return examine(target)

"""The format of a bundle: a tar archive of two plain files, ``job.json`` and the update.

A tar archive describes each member once, and holds its bytes as they are. So there is nothing to
unpack, no second directory that says something else, and any device can look into it. The reader
takes only what the writer writes, and reads nothing of the update itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

DOCUMENT = "job.json"
"""The first member."""

MAX_DOCUMENT = 32 * 1024
"""The longest document, in bytes; AWS admits no longer one."""

MAX_TRAILER = tarfile.RECORDSIZE + tarfile.BLOCKSIZE
"""The most bytes behind the update, all of which are zero."""

_NAME = re.compile(r"[A-Za-z0-9_+=@,-][A-Za-z0-9._+=@,-]{0,99}")
_COPY = 1 << 20

CHANGED = "the file has changed meanwhile"


class BadBundle(ValueError):
    """A file that is no bundle; the message says why."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    :ivar document: of the job, without ``file``.
    :ivar name: of the update.
    :ivar offset: of the update's first byte in the bundle.
    :ivar size: of the update, in bytes.
    """

    document: Mapping[str, Any] = field(repr=False)
    name: str
    offset: int
    size: int


# --- reading ------------------------------------------------------------------------------------


def read_bundle(stream: BinaryIO) -> Bundle:
    """Read a bundle from a stream that can seek. The update itself is not read.

    :raises BadBundle: if it is none, or is cut short or lengthened.
    :raises OSError: if it cannot be read.
    """
    first = _header(stream, 0)
    if first.name != DOCUMENT:
        raise BadBundle(f"the first member is {first.name!r}, not {DOCUMENT!r}")
    if first.size > MAX_DOCUMENT:
        raise BadBundle(f"{DOCUMENT} is longer than {MAX_DOCUMENT} bytes")
    document = _document(_exactly(stream, first.size))
    _skip_padding(stream, first.size)
    second = _header(stream, stream.tell())
    if not _NAME.fullmatch(second.name) or second.name == DOCUMENT:
        raise BadBundle(f"the second member has the name {second.name!r}")
    offset = stream.tell()
    _check_end(stream, offset, second.size)
    return Bundle(_checked(document, second.size), second.name, offset, second.size)


def _header(stream: BinaryIO, offset: int) -> tarfile.TarInfo:
    block = _exactly(stream, tarfile.BLOCKSIZE)
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise BadBundle(f"there is no member at byte {offset}: {error}") from None
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or header.linkname:
        raise BadBundle(f"the member {header.name!r} is not a plain file")
    if header.size < 0:
        raise BadBundle(f"the member {header.name!r} has a negative size")
    return header


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise BadBundle("it is cut short")
    return data


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


def _skip_padding(stream: BinaryIO, size: int) -> None:
    if _exactly(stream, _padding(size)).strip(b"\0"):
        raise BadBundle("it holds bytes between its members")


def _check_end(stream: BinaryIO, offset: int, size: int) -> None:
    length = stream.seek(0, io.SEEK_END)
    surplus = length - offset - size
    if surplus < _padding(size) + 2 * tarfile.BLOCKSIZE:
        raise BadBundle("it is cut short")
    if surplus > _padding(size) + MAX_TRAILER:
        raise BadBundle("it holds more than the update")
    stream.seek(offset + size)
    if stream.read(surplus).strip(b"\0"):
        raise BadBundle("it holds more than the update")


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content, object_pairs_hook=_unambiguous)
    except BadBundle:
        raise
    except (ValueError, RecursionError):
        raise BadBundle(f"{DOCUMENT} is not JSON") from None
    if not isinstance(document, dict):
        raise BadBundle(f"{DOCUMENT} is not an object")
    return document


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadBundle(f"{DOCUMENT} has a key twice")
    return found


def _checked(document: dict[str, Any], size: int) -> dict[str, Any]:
    for key in ("file", "delta", "log_url"):
        if document.get(key) is not None:
            raise BadBundle(f"{DOCUMENT}: {key}: a bundle needs no URL")
    if not isinstance(document.get("sha256"), str):
        raise BadBundle(f"{DOCUMENT}: sha256: is missing")
    if type(document.get("size")) is not int or document["size"] != size:
        raise BadBundle(f"{DOCUMENT}: size: is not the {size} bytes of the update")
    return document


# --- writing ------------------------------------------------------------------------------------


def write_bundle(
    target: BinaryIO, document: Mapping[str, object], name: str, update: BinaryIO, size: int
) -> None:
    """Write a bundle.

    :param document: of the job, with ``sha256`` and ``size`` of the update.
    :param name: of the update; characters that a bundle has no room for are replaced.
    :param size: of the update, in bytes.
    :raises ValueError: if the document is too long, or the update is another one.
    :raises OSError: if a file cannot be read or written.
    """
    content = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    if len(content) > MAX_DOCUMENT:
        raise ValueError(f"{DOCUMENT} would be longer than {MAX_DOCUMENT} bytes")
    target.write(_made_header(DOCUMENT, len(content)))
    target.write(content + bytes(_padding(len(content))))
    target.write(_made_header(member_name(name), size))
    if _copy(update, target, size) != document.get("sha256"):
        raise ValueError(CHANGED)
    target.write(bytes(_padding(size) + 2 * tarfile.BLOCKSIZE))


def member_name(name: str) -> str:
    """Return the name of an update as a bundle can hold it."""
    kept = re.sub(r"[^A-Za-z0-9._+=@,-]", "_", name).lstrip(".")[:100]
    return kept if _NAME.fullmatch(kept) and kept != DOCUMENT else "update"


def _made_header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o644
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> str:
    """Copy so many bytes, and return their SHA-256."""
    left, digest = size, hashlib.sha256()
    while left and (data := source.read(min(left, _COPY))):
        target.write(data)
        digest.update(data)
        left -= len(data)
    if left or source.read(1):
        raise ValueError(CHANGED)
    return digest.hexdigest()

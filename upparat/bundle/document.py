"""The job document of an update that is installed by hand: made of a file and of options."""

from __future__ import annotations

import hashlib
from pathlib import Path

from upparat import minisign
from upparat.job import (
    ACTION,
    ExecutionKey,
    InvalidDocument,
    JobExecution,
    Status,
    parse_document,
)

_NOWHERE = "https://localhost/"
"""Stands for the URL of the file, which these documents have not."""


def make_document(
    file: Path,
    version: str,
    *,
    signature: str = "",
    certificate: str = "",
    meta: str = "",
    force: bool = False,
) -> dict[str, object]:
    """Return the document of a file; reads all of it.

    :param signature: base64, or the text of a minisign signature.
    :raises InvalidDocument: with all problems at once, by key.
    :raises OSError: if the file cannot be read.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    given = {"signature": signature, "certificate": certificate, "meta": meta, "force": force}
    members = {name: value for name, value in given.items() if value}
    document = {"action": ACTION, "version": version, "size": size, "sha256": digest, **members}
    check_document(document)
    return document


def check_document(document: object) -> None:
    """:raises InvalidDocument: with all problems at once, by key."""
    if not isinstance(document, dict) or document.get("action") != ACTION:
        raise InvalidDocument(f"action: must be {ACTION!r}")
    whole = {**document, "file": _NOWHERE}
    parse_document(JobExecution(ExecutionKey("", 0, 0), Status.QUEUED, 0, document=whole))


def read_minisig(path: Path) -> str:
    """Return the text of a minisign signature.

    :raises OSError: if the file cannot be read.
    :raises ValueError: if it holds none.
    """
    content = path.read_bytes()
    try:
        minisign.parse_signature(content)
        return content.decode()
    except ValueError as error:
        raise ValueError(f"{path} is not what minisign writes: {error}") from None

"""The job document of a release."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upparat.job import (
    ACTION,
    ExecutionKey,
    InvalidDocument,
    JobExecution,
    Status,
    delta_url,
    log_url,
    parse_document,
)

from .firmware import FirmwareFile
from .request import BadArgument

if TYPE_CHECKING:
    from upparat.signing.command import PrivateKey

MOST_BYTES = 32 * 1024
"""The size of a job document that AWS admits."""

_OPTIONS = {
    "version": "--version",
    "meta": "--meta",
    "log_url": "--log-url",
    "file": "FILE",
    "delta": "--delta",
}
_PLACEHOLDER = re.compile(r"\$\{aws:iot:s3-presigned-url(?:-v2|-upload)?:([^{}]|\$\{\w+\})*\}")


def job_document(
    file: str,
    version: str,
    firmware: FirmwareFile,
    *,
    signature: str = "",
    meta: str = "",
    force: bool = False,
    log: str = "",
    delta: str = "",
) -> dict[str, object]:
    """Make a document.

    :param file: the URL of the file, or a placeholder for it.
    :param log: the URL for the logs of the executions, or a placeholder for it; empty for none.
    :param delta: the URL of the zchunk file of the file, or a placeholder for it; empty for none.
    """
    optional = {"delta": delta, "signature": signature, "meta": meta, "log_url": log}
    return {
        "action": ACTION,
        "version": version,
        "file": file,
        "sha256": firmware.sha256,
        "size": firmware.size,
        **{key: value for key, value in optional.items() if value},
        **({"force": True} if force else {}),
    }


def encoded(document: Mapping[str, object]) -> str:
    """Write a document as JSON, if the agent and AWS will take it.

    :raises BadArgument: if not.
    """
    _check(document)
    text = json.dumps(document)
    if len(text) > MOST_BYTES:
        raise BadArgument(
            f"{_longest(document)}: the job document has {len(text)} bytes, AWS admits {MOST_BYTES}"
        )
    return text


def _check(document: Mapping[str, object]) -> None:
    """Read the document as an agent will, with URLs in place of the placeholders."""
    delivered = {
        key: _PLACEHOLDER.sub("https://s3/object", value) if isinstance(value, str) else value
        for key, value in document.items()
    }
    execution = JobExecution(ExecutionKey("job", 1, 1), Status.QUEUED, 1, document=delivered)
    try:
        parse_document(execution)
        log_url(execution)
        delta_url(execution)
    except InvalidDocument as problem:
        key, _, text = str(problem).partition(": ")
        raise BadArgument(f"{_OPTIONS.get(key, key)}: {text}") from None


def _longest(document: Mapping[str, object]) -> str:
    """Name the option whose text is the longest."""
    return _OPTIONS[max(_OPTIONS, key=lambda key: len(str(document.get(key, ""))))]


# --- signatures ---


def load_key(path: Path) -> PrivateKey:
    """Load a private key; ask for its passphrase on the terminal, if it has one.

    :raises BadArgument: if it cannot be used.
    """
    from upparat.signing.command import load_private_key

    try:
        return load_private_key(path)
    except OSError as error:
        raise BadArgument(f"--sign: {path}: {error.strerror}") from None
    except ValueError as error:
        raise BadArgument(f"--sign: {' '.join(str(error).split())}") from None


def signature_of(key: PrivateKey, version: str, sha256: str, product: str) -> str:
    """Sign a version, the digest of its file, and its product if there is one, in base64.

    :raises BadArgument: for a version that cannot be signed.
    """
    from upparat.signing.command import sign
    from upparat.signing.signatures import statement

    try:
        message = statement(version, sha256, product)
    except ValueError as error:
        raise BadArgument(f"--version: {error}") from None
    return base64.b64encode(sign(key, message)).decode()

"""Parses the public keys and signatures of minisign. Nothing is verified here.

The format is that of https://jedisct1.github.io/minisign/.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

COMMENT = b"untrusted comment:"
"""The beginning of every text of minisign. Neither base64 nor a PEM block begins like this."""

_TRUSTED_COMMENT = b"trusted comment: "
_LEGACY, _PREHASHED = b"Ed", b"ED"


@dataclass(frozen=True)
class Signature:
    """A signature, and a global signature over it and the trusted comment.

    ``prehashed``: the signature is over the BLAKE2b-512 of the message. Otherwise it is over the
    message itself.
    """

    prehashed: bool
    key_id: bytes
    signature: bytes
    comment: bytes
    global_signature: bytes


def parse_signature(text: bytes) -> Signature:
    """Parse the content of a ``.minisig`` file. Line ends of Windows are accepted.

    :raises ValueError: if it is anything else; the message says what is wrong.
    """
    lines = _lines(text)
    if len(lines) != 4:
        raise ValueError(f"has {len(lines)} lines, not 4")
    if not lines[0].startswith(COMMENT):
        raise ValueError("line 1 is no untrusted comment")
    if not lines[2].startswith(_TRUSTED_COMMENT):
        raise ValueError("line 3 is no trusted comment")
    made = _decoded(lines, 2, 74)
    if made[:2] not in (_LEGACY, _PREHASHED):
        raise ValueError("the algorithm is neither Ed nor ED")
    return Signature(
        prehashed=made[:2] == _PREHASHED,
        key_id=made[2:10],
        signature=made[10:],
        comment=lines[2].removeprefix(_TRUSTED_COMMENT),
        global_signature=_decoded(lines, 4, 64),
    )


def recognized(signature: bytes) -> Signature | None:
    """Parse a signature. Returns ``None`` if it is not minisign's."""
    try:
        return parse_signature(signature)
    except ValueError:
        return None


def parse_key(text: bytes) -> tuple[bytes, bytes]:
    """Parse a public key, with its comment line or without.

    :returns: the key id, and the 32 bytes of the Ed25519 key.
    :raises ValueError: if it is anything else; the message says what is wrong.
    """
    lines = _lines(text)
    expected = 2 if lines[0].startswith(COMMENT) else 1
    if len(lines) != expected:
        raise ValueError(f"has {len(lines)} lines, not {expected}")
    key = _decoded(lines, expected, 42)
    if key[:2] != _LEGACY:
        raise ValueError("the algorithm is not Ed")
    return key[2:10], key[10:]


def _lines(text: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in text.removesuffix(b"\n").split(b"\n")]


def _decoded(lines: list[bytes], number: int, length: int) -> bytes:
    """Decode the base64 of a line. Lines are counted from 1."""
    try:
        decoded = base64.b64decode(lines[number - 1], validate=True)
    except ValueError:
        raise ValueError(f"line {number} is not base64") from None
    if len(decoded) != length:
        raise ValueError(f"line {number} holds {len(decoded)} bytes, not {length}")
    return decoded

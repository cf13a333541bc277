"""Signatures of firmware: the signed message, and its verification. No policy.

The signed message is a *statement* of the version and the file's digest, and of the product if
there is one. Or it is the file itself, as AWS code signing and ``openssl dgst -sign`` sign it. The
algorithms are Ed25519 (RFC 8032), ECDSA on P-256 and P-384 with SHA-256 or SHA-384 in DER, RSA with
SHA-256 (PKCS #1 v1.5 or PSS), and both formats of minisign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from upparat import minisign

from .keys import MinisignKey, PublicKey


def statement(version: str, sha256: str, product: str = "") -> bytes:
    """Make the message whose signature binds a version to a file, and both to a product.

    :param sha256: 64 lower-case hexadecimal digits.
    :param product: empty for the message that names none.
    :raises ValueError: for a text with line ends, because it could forge the other lines.
    """
    for name, text in (("version", version), ("product", product)):
        if not text.isprintable():
            raise ValueError(f"the {name} holds a character that cannot be printed")
    head = f"upparat-update 2\nproduct: {product}" if product else "upparat-update 1"
    return f"{head}\nversion: {version}\nsha256: {sha256}\n".encode()


class Message(Protocol):
    """A message that may be signed: a text or a file."""

    def digest(self, name: str) -> bytes:
        """Return the digest by an algorithm of :mod:`hashlib`."""

    def verify(self, check: Callable[[bytes], None]) -> None:
        """Call ``check`` with the whole content."""


@dataclass(frozen=True)
class Text:
    """A message in memory."""

    content: bytes

    def digest(self, name: str) -> bytes:
        return hashlib.new(name, self.content).digest()

    def verify(self, check: Callable[[bytes], None]) -> None:
        check(self.content)


def verified(key: PublicKey, signature: bytes, message: Message) -> bool:
    """True if the owner of this key has signed the message."""
    made = minisign.recognized(signature)
    if isinstance(key, MinisignKey):
        return made is not None and _made_by(key, made, message)
    if made is not None:
        return False
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _holds(lambda: message.verify(lambda content: key.verify(signature, content)))
    if isinstance(key, ec.EllipticCurvePublicKey):
        return any(
            _holds(lambda a=algorithm: _verify_ec(key, signature, message, a))  # type: ignore[misc]
            for algorithm in (SHA256(), SHA384())
        )
    pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)
    return any(
        _holds(lambda p=each: _verify_rsa(key, signature, message, p))  # type: ignore[misc]
        for each in (padding.PKCS1v15(), pss)
    )


def _made_by(key: MinisignKey, made: minisign.Signature, message: Message) -> bool:
    """Verify the comment first, because the message may be a large file, or not be there yet."""
    commented = made.signature + made.comment
    return (
        made.key_id == key.key_id
        and _holds(lambda: key.key.verify(made.global_signature, commented))
        and _holds(lambda: _verify_minisign(key, made, message))
    )


def _verify_minisign(key: MinisignKey, made: minisign.Signature, message: Message) -> None:
    if made.prehashed:
        key.key.verify(made.signature, message.digest("blake2b"))
    else:
        message.verify(lambda content: key.key.verify(made.signature, content))


def _verify_ec(
    key: ec.EllipticCurvePublicKey, signature: bytes, message: Message, algorithm: SHA256 | SHA384
) -> None:
    scheme = ec.ECDSA(Prehashed(algorithm))
    key.verify(signature, message.digest(algorithm.name), scheme)


def _verify_rsa(
    key: rsa.RSAPublicKey,
    signature: bytes,
    message: Message,
    scheme: padding.PKCS1v15 | padding.PSS,
) -> None:
    key.verify(signature, message.digest("sha256"), scheme, Prehashed(SHA256()))


def _holds(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True

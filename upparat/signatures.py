"""Signatures of firmware: whose keys count, what is signed, and whether it is right. No policy.

What is signed is a *statement* of the version and the file's digest, or else the file itself, as
AWS code signing and ``openssl dgst -sign`` have it. The algorithms are Ed25519 (RFC 8032), ECDSA on
P-256 and P-384 with SHA-256 or SHA-384 in DER, RSA with SHA-256 (PKCS #1 v1.5 or PSS), and what
minisign makes of Ed25519.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError

from . import minisign

LEAST_RSA_BITS = 2048


@dataclass(frozen=True)
class MinisignKey:
    """A public key of minisign: only its signatures count for it, and only if they name it."""

    key_id: bytes
    key: ed25519.Ed25519PublicKey


PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey | MinisignKey

_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class BadKey(ValueError):
    """What cannot be used as a key or certificate; the message says why."""


def statement(version: str, sha256: str) -> bytes:
    """What a signature is made of that binds a version to a file.

    :param sha256: 64 lower-case hexadecimal digits.
    :raises ValueError: for a version that spans lines: it could say anything.
    """
    if not version.isprintable():
        raise ValueError("the version holds a character that cannot be printed")
    return f"upparat-update 1\nversion: {version}\nsha256: {sha256}\n".encode()


# --- keys -------------------------------------------------------------------------------------


def load_keys(content: bytes) -> list[PublicKey]:
    """The public keys of a file: PEM blocks, each a public key or a certificate, or minisign's key.

    :raises BadKey: if there is none, one of them cannot be used, or there are both.
    """
    if minisign.COMMENT in content:  # anywhere: a key between PEM blocks must not go unnoticed
        return [_load_minisign(content, "is no minisign public key: {}")]
    keys = [_load_key(match[1], match[0]) for match in _BLOCK.finditer(content)]
    return keys or [_load_minisign(content, "holds no PEM block and no minisign public key")]


def _load_minisign(content: bytes, problem: str) -> MinisignKey:
    try:
        key_id, key = minisign.parse_key(content)
    except ValueError as error:
        raise BadKey(problem.format(error)) from None
    return MinisignKey(key_id, ed25519.Ed25519PublicKey.from_public_bytes(key))


def _load_key(kind: bytes, block: bytes) -> PublicKey:
    try:
        if kind == b"CERTIFICATE":
            return usable(x509.load_pem_x509_certificate(block).public_key())
        if kind.endswith(b"PUBLIC KEY"):
            return usable(load_pem_public_key(block))
    except BadKey:
        raise
    except Exception as error:  # the library names no base class for what can be wrong
        raise BadKey(f"holds a {kind.decode()} that cannot be read: {error}") from None
    raise BadKey(f"holds a {kind.decode()}, which is neither a public key nor a certificate")


def usable(key: object) -> PublicKey:
    """The key itself.

    :raises BadKey: if its kind or size is not accepted.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, _CURVES):
            return key
        raise BadKey(f"an EC key must be on P-256 or P-384, not on {key.curve.name}")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= LEAST_RSA_BITS:
            return key
        raise BadKey(f"an RSA key must have {LEAST_RSA_BITS} bits or more, not {key.key_size}")
    raise BadKey("a key must be Ed25519, EC or RSA")


def certified(pem: str, authorities: Sequence[x509.Certificate], now: datetime) -> PublicKey:
    """The key of a certificate that leads to an authority, all of them valid at this time.

    :param pem: the signer's certificate, and then those in between, if any.
    :raises BadKey: if it does not.
    """
    try:
        return _certified(pem, authorities, now)
    except BadKey:
        raise
    except Exception as error:  # the library names no base class for what can be wrong
        raise BadKey(f"cannot be read: {error}") from None


def _certified(pem: str, authorities: Sequence[x509.Certificate], now: datetime) -> PublicKey:
    signer, *between = x509.load_pem_x509_certificates(pem.encode())
    _check_usage(signer)
    store = X509Store()
    for authority in authorities:
        store.add_cert(X509.from_cryptography(authority))
    store.set_time(now)
    chain = [X509.from_cryptography(each) for each in between]
    try:
        X509StoreContext(store, X509.from_cryptography(signer), chain).verify_certificate()
    except X509StoreContextError as error:
        raise BadKey(str(error)) from None
    return usable(signer.public_key())


def _check_usage(signer: x509.Certificate) -> None:
    """One that says what it is for must say code signing: not every server may sign firmware."""
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise BadKey("is not meant for code signing")


# --- messages ---------------------------------------------------------------------------------


class Message(Protocol):
    """What may be signed."""

    def digest(self, name: str) -> bytes:
        """Its digest by an algorithm of :mod:`hashlib`."""

    def verify(self, check: Callable[[bytes], None]) -> None:
        """Call ``check`` with the whole of it."""


@dataclass(frozen=True)
class Text:
    """A message in memory."""

    content: bytes

    def digest(self, name: str) -> bytes:
        return hashlib.new(name, self.content).digest()

    def verify(self, check: Callable[[bytes], None]) -> None:
        check(self.content)


def verified(key: PublicKey, signature: bytes, message: Message) -> bool:
    """Whether the owner of this key has signed the message."""
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
    """The comment comes first: the message may be a large file, or one that nobody has."""
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

"""Public keys of firmware's signers: files that hold them, and certificates that vouch for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError

from upparat import minisign

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

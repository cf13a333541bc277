"""Public keys of those who sign firmware: loading them, and verifying their certificates."""

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
    """A public key of minisign. It verifies only minisign's signatures that name its key id."""

    key_id: bytes
    key: ed25519.Ed25519PublicKey


PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey | MinisignKey

_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class BadKey(ValueError):
    """A key or certificate that cannot be used. The message says why."""


def load_keys(content: bytes) -> list[PublicKey]:
    """Load the public keys of a file: PEM blocks (public keys, certificates), or one minisign key.

    :raises BadKey: if the file holds no key, an unusable key, or keys of both kinds.
    """
    if minisign.COMMENT in content:  # anywhere, because PEM blocks must not hide it
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
    except Exception as error:  # the library names no base class of its errors
        raise BadKey(f"holds a {kind.decode()} that cannot be read: {error}") from None
    raise BadKey(f"holds a {kind.decode()}, which is neither a public key nor a certificate")


def usable(key: object) -> PublicKey:
    """Return the key if the agent accepts its kind and size.

    :raises BadKey: otherwise.
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
    """Verify a signer's certificate and return its key.

    :param pem: the signer's certificate, then the intermediate ones, if any.
    :param authorities: the certificates that are trusted; the chain must end at one of them.
    :param now: the time at which all of them must be valid.
    :raises BadKey: if the chain does not hold.
    """
    try:
        return _certified(pem, authorities, now)
    except BadKey:
        raise
    except Exception as error:  # the library names no base class of its errors
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
    """Refuse a certificate that is limited to other uses than code signing.

    Otherwise every server with a certificate of the same authority could sign firmware.
    """
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise BadKey("is not meant for code signing")

"""The work of ``upparat sign``: signs a file, and makes the members of its job document.

It runs on the machine that holds the owner's private key, not on a device.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .keys import BadKey, usable
from .signatures import statement

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def document(key: PrivateKey, file: Path, version: str, product: str = "") -> dict[str, object]:
    """Make the members ``version``, ``size``, ``sha256`` and ``signature`` of a job document.

    :param product: the product that the signature names; empty for none.
    :raises OSError: if the file cannot be read.
    :raises ValueError: for a version or a product that cannot be signed.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    signature = sign(key, statement(version, digest, product))
    return {
        "version": version,
        "size": size,
        "sha256": digest,
        "signature": base64.b64encode(signature).decode(),
    }


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Sign with the algorithm that belongs to the key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = SHA384() if isinstance(key.curve, ec.SECP384R1) else SHA256()
        return key.sign(message, ec.ECDSA(algorithm))
    return key.sign(message, padding.PKCS1v15(), SHA256())


def load_private_key(path: Path) -> PrivateKey:
    """Read a private key from a PEM file. Asks for a passphrase on the terminal if it needs one.

    :raises OSError: if the file cannot be read.
    :raises BadKey: if it holds no usable private key.
    """
    pem = path.read_bytes()
    try:
        try:
            key = load_pem_private_key(pem, None)
        except TypeError:  # the key is encrypted
            passphrase = getpass.getpass(f"Passphrase of {path}: ")
            key = load_pem_private_key(pem, passphrase.encode())
        usable(key.public_key())
    except BadKey as bad:
        raise BadKey(f"{path}: {bad}") from None
    except Exception as error:  # the library names no base class of its errors
        raise BadKey(f"{path} holds no private key that can be used: {error}") from None
    return cast(PrivateKey, key)

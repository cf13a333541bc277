"""The step that shows the keys that files are verified with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .examination import Examination
from .finding import Finding, failed, ok, skipped
from .tls import judge_validity

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from upparat.signing.keys import PublicKey


def examine(examination: Examination) -> Iterator[Finding]:
    """One finding for each key and each authority."""
    verify = examination.settings.verify
    wrong = [str(each) for each in examination.problems if each.section == "verify"]
    if wrong:
        yield failed("keys", f"every download fails: {wrong[0]}", "Mend this option")
    elif not verify.keys and not verify.authorities:
        yield skipped("keys", "[verify] names none: signatures are not checked")
    for number, key in enumerate(verify.keys, 1):
        yield ok(f"key {number} of {len(verify.keys)}", described(key))
    for number, authority in enumerate(verify.authorities, 1):
        yield _judge_authority(examination, f"authority {number}", authority)


def described(key: PublicKey) -> str:
    """The kind of a key, and what tells it from others: SHA-256 of the key in DER, or its id."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from upparat.signing.keys import MinisignKey

    if isinstance(key, MinisignKey):
        return f"minisign {int.from_bytes(key.key_id, 'little'):X}"
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kind = "Ed25519"
    if isinstance(key, rsa.RSAPublicKey):
        kind = f"RSA of {key.key_size} bits"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = f"EC on {key.curve.name}"
    return f"{kind}, SHA-256 {hashlib.sha256(der).hexdigest()}"


def _judge_authority(examination: Examination, name: str, authority: Certificate) -> Finding:
    from cryptography.hazmat.primitives.hashes import SHA256

    whose = (
        f"{authority.subject.rfc4514_string()}, SHA-256 {authority.fingerprint(SHA256()).hex()},"
    )
    return judge_validity(name, whose, authority, examination.now())

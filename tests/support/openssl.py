"""Keys, signatures and certificates that the ``openssl`` command makes: not our own code."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import SkipTest

KINDS = {
    "ed25519": ["ed25519"],
    "p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa1024": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
}

PSS = ["-sigopt", "rsa_padding_mode:pss"]

ALGORITHMS = {
    "ed25519": ("ed25519", []),
    "ecdsa-p256-sha256": ("p256", ["-sha256"]),
    "ecdsa-p256-sha384": ("p256", ["-sha384"]),
    "ecdsa-p384-sha256": ("p384", ["-sha256"]),
    "ecdsa-p384-sha384": ("p384", ["-sha384"]),
    "rsa-sha256": ("rsa", ["-sha256"]),
    "rsa-pss-sha256": ("rsa", ["-sha256", *PSS, "-sigopt", "rsa_pss_saltlen:digest"]),
    "rsa-pss-sha256-longest-salt": ("rsa", ["-sha256", *PSS, "-sigopt", "rsa_pss_saltlen:max"]),
}
"""By a name: the kind of key, and the options of ``openssl dgst``."""


def openssl(*words: object) -> bytes:
    """What the command prints; the test is skipped where it is missing."""
    if shutil.which("openssl") is None:
        raise SkipTest("needs openssl")
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True).stdout


@dataclass(frozen=True)
class KeyPair:
    """PEM files of a private and its public key."""

    private: Path
    public: Path

    def sign(self, file: Path, algorithm: str) -> bytes:
        """The signature over a file, by the name of an algorithm."""
        kind, options = ALGORITHMS[algorithm]
        if kind == "ed25519":
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.private, "-in", file)
        return openssl("dgst", *options, "-sign", self.private, file)


def make_keys(directory: Path, kind: str, name: str = "key") -> KeyPair:
    """The same pair for the same kind and name: openssl needs a while to find an RSA key."""
    directory.mkdir(parents=True, exist_ok=True)
    pair = KeyPair(directory / f"{name}-{kind}.key", directory / f"{name}-{kind}.pem")
    private, public = _generated(kind, name)
    pair.private.touch(mode=0o600)
    pair.private.write_bytes(private)
    pair.public.write_bytes(public)
    return pair


@functools.cache
def _generated(kind: str, name: str) -> tuple[bytes, bytes]:
    """A private and its public key; another pair for each name."""
    with tempfile.TemporaryDirectory() as directory:
        private = Path(directory, name)
        openssl("genpkey", "-algorithm", *KINDS[kind], "-out", private)
        return private.read_bytes(), openssl("pkey", "-in", private, "-pubout")


class Signers:
    """An authority, one below it, and certificates of signers, each a PEM text."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.cafile = self._root()
        self.between = self._issue("between", "root", "basicConstraints=critical,CA:TRUE")

    def issue(self, name: str, *extensions: str, days: int = 30) -> tuple[KeyPair, str]:
        """A signer's keys, and its certificate with the one in between."""
        certificate = self._issue(name, "between", *extensions, days=days)
        key = self._directory / f"{name}.key"
        public = self._directory / f"{name}.pub"
        openssl("pkey", "-in", key, "-pubout", "-out", public)
        return KeyPair(key, public), certificate + self.between

    def _root(self) -> Path:
        cafile = self._directory / "root.crt"
        self._key("root")
        openssl(
            *("req", "-x509", "-new", "-key", self._directory / "root.key", "-subj", "/CN=Root"),
            *("-days", "3650", "-out", cafile),
        )
        return cafile

    def _key(self, name: str) -> Path:
        key = self._directory / f"{name}.key"
        openssl("genpkey", "-algorithm", *KINDS["p256"], "-out", key)
        return key

    def _issue(self, name: str, by: str, *extensions: str, days: int = 3650) -> str:
        here = self._directory
        request, certificate, config = (here / f"{name}.{kind}" for kind in ("csr", "crt", "cnf"))
        config.write_text("\n".join(extensions) + "\n")
        key = self._key(name)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        openssl(
            *("x509", "-req", "-in", request, "-CA", here / f"{by}.crt"),
            *("-CAkey", here / f"{by}.key", "-CAcreateserial", "-days", days),
            *("-extfile", config, "-out", certificate),
        )
        return certificate.read_text()


def flips(content: bytes) -> Iterator[bytes]:
    """The content with one bit changed: in its first, its middle and its last byte."""
    for at in {0, len(content) // 2, len(content) - 1}:
        changed = bytearray(content)
        changed[at] ^= 1
        yield bytes(changed)

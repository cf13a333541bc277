"""Keys and signatures that the ``minisign`` command makes: not our own code."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import SkipTest

from .openssl import flips

FORMATS = {"prehashed": (), "legacy": ("-l",)}
"""By a name: the options of ``minisign -S``."""


def minisign(*words: object) -> None:
    """Run the command; the test is skipped where it is missing."""
    if shutil.which("minisign") is None:
        raise SkipTest("needs minisign")
    command = ["minisign", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@dataclass(frozen=True)
class MinisignPair:
    """The files of a private and its public key."""

    private: Path
    public: Path

    def sign(self, file: Path, form: str = "prehashed", comment: str = "of a test") -> str:
        """The text of the signature over a file, in one of the formats."""
        signature = file.with_name(f"{file.name}.minisig")
        minisign(
            *("-S", *FORMATS[form], "-s", self.private, "-t", comment),
            *("-x", signature, "-m", file),
        )
        return signature.read_text()


def make_minisign_keys(directory: Path, name: str = "minisign") -> MinisignPair:
    """Keys without a password."""
    directory.mkdir(parents=True, exist_ok=True)
    pair = MinisignPair(directory / f"{name}.key", directory / f"{name}.pub")
    minisign("-G", "-W", "-s", pair.private, "-p", pair.public)
    return pair


def changed_minisig(text: str) -> Iterator[tuple[str, str]]:
    """Signatures that are well-formed and wrong in one thing, each with that thing's name."""
    untrusted, made, trusted, made_of_all, end = text.split("\n")
    raw = base64.b64decode(made)
    algorithm, key_id, signature = raw[:2], raw[2:10], raw[10:]
    other = b"Ed" if algorithm == b"ED" else b"ED"
    lines = [
        ("algorithm", _encoded(other + key_id + signature), trusted, made_of_all),
        ("trusted comment", made, f"{trusted}!", made_of_all),
        ("no trusted comment", made, "trusted comment: ", made_of_all),
    ]
    for each in flips(key_id):
        lines.append(("key id", _encoded(algorithm + each + signature), trusted, made_of_all))
    for each in flips(signature):
        lines.append(("signature", _encoded(algorithm + key_id + each), trusted, made_of_all))
    for each in flips(base64.b64decode(made_of_all)):
        lines.append(("global signature", made, trusted, _encoded(each)))
    for name, *rest in lines:
        yield name, "\n".join([untrusted, *rest, end])


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()

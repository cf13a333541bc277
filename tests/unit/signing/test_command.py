"""The members of a job document that the owner of a private key makes."""

from __future__ import annotations

import base64
import hashlib

from tests.support.openssl import make_keys
from upparat.signing.command import document, load_private_key, sign
from upparat.signing.keys import BadKey, load_keys
from upparat.signing.signatures import Text, statement, verified

from .bench import Bench

KINDS = ("ed25519", "p256", "p384", "rsa")


class DocumentTests(Bench):
    def setUp(self) -> None:
        super().setUp()
        self.file.write_bytes(b"firmware")
        self.sha256 = hashlib.sha256(b"firmware").hexdigest()

    def test_the_signature_binds_the_version_to_the_file(self) -> None:
        keys = make_keys(self.directory, "ed25519")
        made = document(load_private_key(keys.private), self.file, "2.0")
        signature = base64.b64decode(str(made.pop("signature")))
        self.assertEqual(made, {"version": "2.0", "size": 8, "sha256": self.sha256})
        [key] = load_keys(keys.public.read_bytes())
        self.assertTrue(verified(key, signature, Text(statement("2.0", self.sha256))))

    def test_the_signature_binds_both_to_a_product(self) -> None:
        keys = make_keys(self.directory, "ed25519")
        made = document(load_private_key(keys.private), self.file, "2.0", "A")
        signature = base64.b64decode(str(made.pop("signature")))
        self.assertEqual(made, {"version": "2.0", "size": 8, "sha256": self.sha256})
        [key] = load_keys(keys.public.read_bytes())
        self.assertTrue(verified(key, signature, Text(statement("2.0", self.sha256, "A"))))

    def test_a_version_of_two_lines(self) -> None:
        key = load_private_key(make_keys(self.directory, "ed25519").private)
        self.assertRaises(ValueError, document, key, self.file, "2.0\n")

    def test_no_file(self) -> None:
        key = load_private_key(make_keys(self.directory, "ed25519").private)
        self.assertRaises(OSError, document, key, self.directory / "missing", "2.0")


class PrivateKeyTests(Bench):
    def test_each_kind_signs(self) -> None:
        for kind in KINDS:
            keys = make_keys(self.directory, kind)
            [key] = load_keys(keys.public.read_bytes())
            signature = sign(load_private_key(keys.private), b"text")
            self.assertTrue(verified(key, signature, Text(b"text")), kind)

    def test_a_file_that_cannot_be_used(self) -> None:
        missing = self.directory / "missing"
        self.assertRaises(OSError, load_private_key, missing)
        public = make_keys(self.directory, "p256").public
        for path in (public, make_keys(self.directory, "p521").private):
            error = self.assertRaises(BadKey, load_private_key, path)
            self.assertIn(str(path), str(error))

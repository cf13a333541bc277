"""The keys that files are verified with, as they are shown."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from tests.support.certs import Authority
from tests.support.minisign import make_minisign_keys
from tests.support.openssl import make_keys
from tests.unit.doctor.bench import DoctorBench, examination
from upparat.config.ini import Problem
from upparat.config.settings import Settings, VerifySettings
from upparat.doctor.keys import described, examine
from upparat.signing.keys import load_keys


class KeyTests(DoctorBench):
    def test_none(self) -> None:
        [found] = examine(examination())
        self.says(found, "skipped")

    def test_each_kind_has_the_fingerprint_that_openssl_prints(self) -> None:
        for kind, name in (("p256", "EC on secp256r1"), ("rsa", "RSA of "), ("ed25519", "Ed25519")):
            public = make_keys(self.directory, kind).public
            [key] = load_keys(public.read_bytes())
            command = ["openssl", "pkey", "-pubin", "-in", str(public), "-outform", "DER"]
            der = subprocess.run(command, capture_output=True, check=True).stdout
            digest = hashlib.sha256(der).hexdigest()
            self.assertTrue(described(key).startswith(name))
            self.assertTrue(described(key).endswith(f"SHA-256 {digest}"))

    def test_minisign_prints_the_id_that_its_files_name(self) -> None:
        public = make_minisign_keys(self.directory).public.read_text()
        [key] = load_keys(public.encode())
        self.assertIn(described(key).removeprefix("minisign "), public)

    def test_all_are_shown(self) -> None:
        key = load_keys(make_keys(self.directory, "p256").public.read_bytes())[0]
        file = Path(Authority().write(self.directory / "ca.pem"))
        [authority] = load_pem_x509_certificates(file.read_bytes())
        settings = Settings(verify=VerifySettings(keys=(key, key), authorities=(authority,)))
        found = list(examine(examination(settings=settings, now=lambda: datetime.now(UTC))))
        self.assertEqual([each.name for each in found], ["key 1 of 2", "key 2 of 2", "authority 1"])
        self.says(found[2], "warning", "Test Authority", "expires on")

    def test_wrong_options(self) -> None:
        problem = Problem("verify", "public_keys", "/none cannot be read")
        [found] = examine(examination(problems=[problem]))
        self.says(found, "failed", "every download fails", "/none")

"""Public keys and certificates: what is accepted, and how the rest is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from tests.support.minisign import make_minisign_keys
from tests.support.openssl import ALGORITHMS, KINDS, Signers, make_keys
from upparat.signing.keys import BadKey, MinisignKey, certified, load_keys

from .bench import Bench

NOW = datetime.now(UTC)


class KeyTests(Bench):
    def problem(self, pem: bytes) -> str:
        return str(self.assertRaises(BadKey, load_keys, pem))

    def test_several_with_comments(self) -> None:
        pems = [make_keys(self.directory, kind).public.read_bytes() for kind in ("p256", "rsa")]
        kinds = [type(key).__name__ for key in load_keys(b"# ours\n" + b"\n# new\n".join(pems))]
        self.assertEqual(["ECPublicKey" in kinds[0], "RSAPublicKey" in kinds[1]], [True, True])

    def test_a_certificate(self) -> None:
        keys, pem = Signers(self.directory).issue("signer")
        self.assertEqual(load_keys(pem.encode())[0], load_keys(keys.public.read_bytes())[0])

    def test_minisign(self) -> None:
        text = make_minisign_keys(self.directory).public.read_bytes()
        comment, line, _ = text.split(b"\n")
        raw = base64.b64decode(line)
        expected = MinisignKey(raw[2:10], ed25519.Ed25519PublicKey.from_public_bytes(raw[10:]))
        for same in (text, line, line + b"\n", text.replace(b"\n", b"\r\n")):
            self.assertEqual(load_keys(same), [expected])
        own = text.replace(comment, b"untrusted comment: ours")
        self.assertEqual(load_keys(own), [expected])

    def test_not_a_key_of_minisign(self) -> None:
        keys = make_minisign_keys(self.directory)
        text, pem = keys.public.read_bytes(), make_keys(self.directory, "p256").public.read_bytes()
        for wrong, problem in (
            (keys.private.read_bytes(), "line 2 holds 158 bytes, not 42"),
            (text.replace(b"\nR", b"\nS"), "the algorithm is not Ed"),
            (text.replace(b"\nR", b"\n*"), "line 2 is not base64"),
            (text + text, "has 4 lines, not 2"),
            (text + pem, "has 6 lines, not 2"),
            (pem + text, "has 6 lines, not 1"),
            (keys.sign(keys.public).encode(), "has 4 lines, not 2"),
        ):
            self.assertEqual(self.problem(wrong), f"is no minisign public key: {problem}")

    def test_wrong_kinds(self) -> None:
        self.assertEqual(
            set(KINDS) - {kind for kind, _ in ALGORITHMS.values()}, {"p521", "rsa1024"}
        )
        for kind, problem in {
            "p521": "an EC key must be on P-256 or P-384, not on secp521r1",
            "rsa1024": "an RSA key must have 2048 bits or more, not 1024",
        }.items():
            pem = make_keys(self.directory, kind).public.read_bytes()
            self.assertEqual(self.problem(pem), problem)

    def test_not_a_key(self) -> None:
        keys = make_keys(self.directory, "p256")
        for nothing in (b"nothing", b"", base64.b64encode(bytes(42))):
            told = self.problem(nothing)
            self.assertEqual(told, "holds no PEM block and no minisign public key")
        self.assertEqual(
            self.problem(keys.private.read_bytes()),
            "holds a PRIVATE KEY, which is neither a public key nor a certificate",
        )
        torn = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
        self.assertIn("holds a PUBLIC KEY that cannot be read", self.problem(torn))


class CertifiedTests(Bench):
    def setUp(self) -> None:
        super().setUp()
        self.signers = Signers(self.directory)
        self.authorities = load_pem_x509_certificates(self.signers.cafile.read_bytes())

    def problem(self, pem: str, now: datetime = NOW) -> str:
        return str(self.assertRaises(BadKey, certified, pem, self.authorities, now))

    def test_good(self) -> None:
        for usage in ((), ("extendedKeyUsage=codeSigning",)):
            keys, pem = self.signers.issue("signer", *usage)
            [key] = load_keys(keys.public.read_bytes())
            self.assertEqual(certified(pem, self.authorities, NOW + timedelta(days=1)), key)

    def test_not_valid(self) -> None:
        _, pem = self.signers.issue("signer")
        self.assertEqual(self.problem(pem, NOW + timedelta(days=31)), "certificate has expired")
        early = self.problem(pem, datetime(1970, 1, 2, tzinfo=UTC))
        self.assertIn("certificate is not yet valid", early)

    def test_for_something_else(self) -> None:
        _, pem = self.signers.issue("server", "extendedKeyUsage=serverAuth")
        self.assertEqual(self.problem(pem), "is not meant for code signing")

    def test_a_link_is_missing(self) -> None:
        _, pem = self.signers.issue("signer")
        self.assertIn("issuer", self.problem(pem.replace(self.signers.between, "")))

    def test_of_others(self) -> None:
        elsewhere = self.directory / "elsewhere"
        elsewhere.mkdir()
        _, pem = Signers(elsewhere).issue("signer")
        self.assertTrue(self.problem(pem))

    def test_a_signer_is_no_authority(self) -> None:
        """Who has a certificate cannot issue another one."""
        self.signers.issue("signer", "basicConstraints=critical,CA:FALSE")
        forged = self.signers._issue("forged", "signer")
        pem = forged + (self.directory / "signer.crt").read_text() + self.signers.between
        self.assertTrue(self.problem(pem))

    def test_the_same_extension_twice(self) -> None:
        """The library's own error for this is no ValueError; nobody need have signed it."""
        one, other = "1.3.6.1.4.1.5.1", "1.3.6.1.4.1.5.2"
        _, pem = self.signers.issue("signer", f"{one}=DER:05:00", f"{other}=DER:05:00")
        signer = load_pem_x509_certificates(pem.encode())[0].public_bytes(Encoding.DER)
        twice = signer.replace(bytes.fromhex("2b060104010502"), bytes.fromhex("2b060104010501"))
        self.assertNotEqual(twice, signer)
        torn = base64.encodebytes(twice).decode()
        text = f"-----BEGIN CERTIFICATE-----\n{torn}-----END CERTIFICATE-----\n"
        self.assertIn("cannot be read", self.problem(text))

    def test_not_a_certificate(self) -> None:
        self.assertIn("cannot be read", self.problem("nothing"))

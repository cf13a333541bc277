"""Signatures that ``openssl`` and ``minisign`` have made, and what has been changed in them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED, TEXTS
from tests.support.minisign import FORMATS, changed_minisig, make_minisign_keys
from tests.support.openssl import ALGORITHMS, KINDS, Signers, flips, make_keys
from upparat.minisign import parse_signature
from upparat.signing.keys import BadKey, MinisignKey, PublicKey, certified, load_keys
from upparat.signing.signatures import Text, statement, verified
from upparat.storage.part import Stored

SHA256 = "0123456789abcdef" * 4
NOW = datetime.now(UTC)


class Bench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.file = self.directory / "file"

    def message(self, content: bytes) -> Stored:
        self.file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return Stored(self.file, len(content), sha256, lambda: True)


class VerifiedTests(Bench):
    def test_each_algorithm(self) -> None:
        content = statement("2.0", SHA256)
        for name, (kind, _) in ALGORITHMS.items():
            keys = make_keys(self.directory, kind)
            message = self.message(content)
            signature = keys.sign(self.file, name)
            [key] = load_keys(keys.public.read_bytes())
            [other] = load_keys(make_keys(self.directory, kind, "other").public.read_bytes())
            for same in (message, Text(content)):
                self.assertTrue(verified(key, signature, same), name)
                self.assertFalse(verified(other, signature, same), name)
            self.check_changes(name, key, signature, content)

    def check_changes(self, name: str, key: PublicKey, signature: bytes, content: bytes) -> None:
        for changed in flips(content):
            self.assertFalse(verified(key, signature, self.message(changed)), name)
            self.assertFalse(verified(key, signature, Text(changed)), name)
        for wrong in (*flips(signature), signature[:-1], signature + b"\0", b"", bytes(64)):
            self.assertFalse(verified(key, wrong, Text(content)), name)

    def test_an_empty_file(self) -> None:
        keys = make_keys(self.directory, "ed25519")
        [key] = load_keys(keys.public.read_bytes())
        self.assertFalse(verified(key, bytes(64), self.message(b"")))

    def test_files_of_all_sizes(self) -> None:
        for name in ("ed25519", "ecdsa-p384-sha384"):
            keys = make_keys(self.directory, ALGORITHMS[name][0])
            [key] = load_keys(keys.public.read_bytes())
            for size in (1, 5_000_000) if name == "ed25519" else (0, 1, 5_000_000):
                message = self.message(bytes(size))
                signature = keys.sign(self.file, name)
                self.assertTrue(verified(key, signature, message), (name, size))
                self.assertFalse(verified(key, signature, self.message(bytes(size + 1))), name)


class MinisignTests(Bench):
    def setUp(self) -> None:
        super().setUp()
        self.keys = make_minisign_keys(self.directory)
        [self.key] = load_keys(self.keys.public.read_bytes())

    def test_both_formats(self) -> None:
        content = statement("2.0", SHA256)
        [other] = load_keys(make_minisign_keys(self.directory, "other").public.read_bytes())
        for form in FORMATS:
            message = self.message(content)
            signature = self.keys.sign(self.file, form).encode()
            for same in (message, Text(content)):
                self.assertTrue(verified(self.key, signature, same), form)
                self.assertFalse(verified(other, signature, same), form)
            for wrong in flips(content):
                self.assertFalse(verified(self.key, signature, self.message(wrong)), form)
                self.assertFalse(verified(self.key, signature, Text(wrong)), form)

    def test_whatever_is_changed_is_wrong(self) -> None:
        content = statement("2.0", SHA256)
        for form in FORMATS:
            self.message(content)
            seen = set()
            for name, wrong in changed_minisig(self.keys.sign(self.file, form)):
                seen.add(name)
                self.assertFalse(verified(self.key, wrong.encode(), Text(content)), (form, name))
            self.assertEqual(len(seen), 6)

    def test_comments_and_ends_of_lines(self) -> None:
        content = statement("2.0", SHA256)
        self.message(content)
        for comment in ("ü", " two  blanks ", "a\ttab", "trusted comment: x"):
            text = self.keys.sign(self.file, comment=comment)
            for same in (text, text.replace("\n", "\r\n"), text.removesuffix("\n")):
                self.assertTrue(verified(self.key, same.encode(), Text(content)), comment)
            free = text.replace("signature from", "what nobody has signed,")
            self.assertTrue(verified(self.key, free.encode(), Text(content)))

    def test_files_of_all_sizes(self) -> None:
        for form in FORMATS:
            for size in (0, 1, 5_000_000) if form == "prehashed" else (1, 5_000_000):
                message = self.message(bytes(size))
                signature = self.keys.sign(self.file, form).encode()
                self.assertTrue(verified(self.key, signature, message), (form, size))
                larger = self.message(bytes(size + 1))
                self.assertFalse(verified(self.key, signature, larger), (form, size))

    def test_a_key_of_another_kind(self) -> None:
        """The same Ed25519 key as PEM does not make it right, nor does the other way round."""
        content = statement("2.0", SHA256)
        self.message(content)
        assert isinstance(self.key, MinisignKey)
        bare = self.key.key
        for form in FORMATS:
            signature = self.keys.sign(self.file, form).encode()
            self.assertFalse(verified(bare, signature, Text(content)), form)
        legacy = parse_signature(self.keys.sign(self.file, "legacy").encode()).signature
        self.assertTrue(verified(bare, legacy, Text(content)))
        self.assertFalse(verified(self.key, legacy, Text(content)))

    def test_a_wrong_one_needs_no_look_at_the_file(self) -> None:
        self.message(b"content")
        good = self.keys.sign(self.file, "legacy")
        for name, wrong in changed_minisig(good):
            if name != "algorithm":
                self.assertFalse(verified(self.key, wrong.encode(), Unseen()), name)
        self.assertRaises(AssertionError, verified, self.key, good.encode(), Unseen())

    def test_any(self) -> None:
        [first, made, third, made_of_all, _] = self.keys.sign(self.keys.public).split("\n")
        lines = st.sampled_from([first, made, third, made_of_all]) | TEXTS
        texts = st.lists(lines, max_size=5).map("\n".join) | TEXTS

        @RELAXED
        @given(texts, st.sampled_from(["", "\n", "\r\n"]))
        def check(text: str, end: str) -> None:
            signature = (text + end).encode("utf-8", "surrogatepass")
            self.assertFalse(verified(self.key, signature, Text(b"content")))

        check()


class Unseen:
    """A message that must not be looked at."""

    def digest(self, name: str) -> bytes:
        raise AssertionError(name)

    def verify(self, check: Callable[[bytes], None]) -> None:
        raise AssertionError("the whole")


class StatementTests(SynchronousTestCase):
    def test_text(self) -> None:
        """Others sign it as well: it is documented, and must not change."""
        self.assertEqual(
            statement("2.0 ü", SHA256),
            f"upparat-update 1\nversion: 2.0 ü\nsha256: {SHA256}\n".encode(),
        )

    def test_a_version_is_one_line(self) -> None:
        for version in ("2.0\nsha256: 1", "2.0\r", "\u2028", "\x1b"):
            self.assertRaises(ValueError, statement, version, SHA256)


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

"""Which files pass, by the owner's rules; ``openssl`` and ``minisign`` make the signatures."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificates
from twisted.trial.unittest import SynchronousTestCase

from tests.support.downloads import FakeStreamConsumer, make_job
from tests.support.minisign import FORMATS, MinisignPair, changed_minisig, make_minisign_keys
from tests.support.openssl import KeyPair, Signers, make_keys
from upparat.config.settings import Require, VerifySettings
from upparat.download.streamed import StreamSink
from upparat.download.verifier import Verifier
from upparat.job import Job
from upparat.signing.keys import PublicKey, load_keys
from upparat.signing.signatures import statement
from upparat.storage.part import Stopped, Stored

CONTENT = bytes(range(256)) * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHA512 = hashlib.sha512(CONTENT).hexdigest()
NOT_OURS = "signature: no key of ours has made it"
NOW = datetime.now(UTC) + timedelta(hours=1)


class Bench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.file = self.write("file", CONTENT)
        self.keys = make_keys(self.directory, "p256")

    def write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def public(self, keys: KeyPair | MinisignPair) -> list[PublicKey]:
        return load_keys(keys.public.read_bytes())

    def settings(self, **values: object) -> VerifySettings:
        merged: dict[str, object] = {
            "require": Require.SIGNATURE,
            "keys": self.public(self.keys),
            **values,
        }
        return VerifySettings(**merged)  # type: ignore[arg-type]

    def sign(self, content: bytes, keys: KeyPair | None = None) -> bytes:
        return (keys or self.keys).sign(self.write("signed", content), "ecdsa-p256-sha256")

    def signed(self, version: str = "2.0", sha256: str = SHA256) -> bytes:
        return self.sign(statement(version, sha256))

    def check(self, settings: VerifySettings, now: datetime = NOW, **document: Any) -> str:
        """What is said of the file of a job for version 2.0."""
        verifier = Verifier(settings, lambda: now)
        job = self.job(**document)
        return verifier.check(job, self.stored())

    def stored(self, *, wanted: bool = True) -> Stored:
        return Stored(self.file, len(CONTENT), SHA256, lambda: wanted)

    def objection(self, settings: VerifySettings, now: datetime = NOW, **document: Any) -> str:
        return Verifier(settings, lambda: now).objection(self.job(**document))

    def job(self, **document: Any) -> Job:
        return make_job("https://h/f", **document)


class StreamTests(Bench):
    """What has to be known of a file that nobody has as a whole."""

    def test_which_digests_are_followed(self) -> None:
        settings = self.settings()
        signed = self.job(signature=b"x")
        self.assertEqual(Verifier(VerifySettings()).digests(self.job()), {"sha256"})
        self.assertEqual(Verifier(settings).digests(signed), {"sha256"})
        sha512 = self.job(sha512=SHA512)
        self.assertEqual(Verifier(VerifySettings()).digests(sha512), {"sha256", "sha512"})
        loose = self.settings(bind_version=False)
        self.assertEqual(Verifier(loose).digests(signed), {"sha256", "sha384"})

    def test_what_tells_a_file_from_others(self) -> None:
        self.assertFalse(Verifier(VerifySettings()).identifies(self.job(signature=b"x")))
        self.assertTrue(Verifier(self.settings()).identifies(self.job(signature=b"x")))
        self.assertTrue(Verifier(VerifySettings()).identifies(self.job(sha512=SHA512)))

    def test_what_needs_the_file(self) -> None:
        """Without it such a signature would go unchecked."""
        keys, loose = self.settings(), self.settings(bind_version=False)
        for settings, values, expected in (
            (VerifySettings(), {"signature": b"s"}, False),
            (keys, {"sha256": SHA256}, False),
            (keys, {"sha256": SHA256, "signature": b"s"}, False),
            (keys, {"signature": b"s"}, True),
            (loose, {"sha256": SHA256, "signature": b"s"}, True),
        ):
            job = self.job(**values)
            self.assertIs(Verifier(settings).needs_file(job), expected, values)

    def test_signatures_of_what_has_passed(self) -> None:
        passage = StreamSink(FakeStreamConsumer(), {"sha384"})
        passage.hash(CONTENT)
        verifier = Verifier(self.settings(bind_version=False))
        for signature in (self.signed(), self.sign(CONTENT)):
            self.assertEqual(verifier.check(self.job(signature=signature), passage), "")
        self.assertEqual(verifier.check(self.job(signature=b"x"), passage), NOT_OURS)

    def test_ed25519_of_the_file_alone_needs_the_file(self) -> None:
        keys = make_keys(self.directory, "ed25519")
        passage = StreamSink(FakeStreamConsumer(), ())
        passage.hash(CONTENT)
        verifier = Verifier(self.settings(keys=self.public(keys), bind_version=False))
        signature = keys.sign(self.file, "ed25519")
        problem = "signature: Ed25519 over the file alone needs a file that is stored"
        self.assertEqual(verifier.check(self.job(signature=signature), passage), problem)

    def test_keys_that_cannot_be_asked_leave_it_to_others(self) -> None:
        passage = StreamSink(FakeStreamConsumer(), {"sha384"})
        passage.hash(CONTENT)
        first = self.public(make_keys(self.directory, "ed25519", "first"))
        both = self.settings(keys=(*first, *self.public(self.keys)), bind_version=False)
        job = self.job(signature=self.sign(CONTENT))
        self.assertEqual(Verifier(both).check(job, passage), "")


class DigestTests(Bench):
    def test_nothing_is_required(self) -> None:
        self.assertEqual(self.objection(VerifySettings()), "")
        self.assertEqual(self.check(VerifySettings()), "")
        self.assertEqual(self.check(VerifySettings(), signature=b"of others"), "")

    def test_one_is_required(self) -> None:
        settings = VerifySettings(Require.DIGEST)
        problem = "the job document has neither sha256 nor sha512"
        self.assertEqual(self.objection(settings), problem)
        self.assertEqual(self.objection(settings, sha256=SHA256), "")
        self.assertEqual(self.objection(settings, sha512=SHA512), "")

    def test_sha512(self) -> None:
        self.assertEqual(self.check(VerifySettings(), sha512=SHA512), "")
        wrong = "0" * 128
        problem = f"sha512: expected {wrong}, got {SHA512}"
        self.assertEqual(self.check(VerifySettings(), sha512=wrong), problem)

    def test_stop(self) -> None:
        def check() -> str:
            job = self.job(sha512=SHA512)
            return Verifier(VerifySettings()).check(job, self.stored(wanted=False))

        self.assertRaises(Stopped, check)


class StatementTests(Bench):
    def test_good(self) -> None:
        document: dict[str, Any] = {"signature": self.signed(), "sha256": SHA256}
        self.assertEqual(self.objection(self.settings(), **document), "")
        self.assertEqual(self.check(self.settings(), **document), "")
        self.assertEqual(self.check(self.settings(), signature=self.signed()), "")

    def test_for_another_version(self) -> None:
        """Nobody can sell an old file as a new version."""
        document: dict[str, Any] = {"signature": self.signed("1.0")}
        self.assertEqual(self.check(self.settings(), **document), NOT_OURS)
        self.assertEqual(self.objection(self.settings(), sha256=SHA256, **document), NOT_OURS)

    def test_for_another_file(self) -> None:
        signature = self.signed(sha256=hashlib.sha256(b"other").hexdigest())
        self.assertEqual(self.check(self.settings(), signature=signature), NOT_OURS)

    def test_over_the_file_alone(self) -> None:
        """It does not say for which version it is."""
        signature = self.sign(CONTENT)
        self.assertEqual(self.check(self.settings(), signature=signature), NOT_OURS)
        loose = self.settings(bind_version=False)
        self.assertEqual(self.check(loose, signature=signature), "")
        self.assertEqual(self.objection(loose, signature=signature, sha256=SHA256), "")
        self.assertEqual(self.check(loose, signature=self.signed()), "")
        self.assertEqual(self.check(loose, signature=self.sign(b"other")), NOT_OURS)

    def test_of_others(self) -> None:
        others = make_keys(self.directory, "p256", "other")
        signature = self.sign(statement("2.0", SHA256), others)
        self.assertEqual(self.check(self.settings(), signature=signature), NOT_OURS)

    def test_any_of_several_keys(self) -> None:
        new = make_keys(self.directory, "ed25519", "new")
        both = self.settings(keys=(*self.public(new), *self.public(self.keys)))
        self.assertEqual(self.check(both, signature=self.signed()), "")

    def test_is_missing(self) -> None:
        missing = "signature: is missing in the job document"
        self.assertEqual(self.objection(self.settings()), missing)

    def test_a_wrong_one_never_passes(self) -> None:
        """Where none is required, but our keys are known."""
        settings = self.settings(require=Require.NONE)
        self.assertEqual(self.check(settings), "")
        self.assertEqual(self.check(settings, signature=b"x"), NOT_OURS)

    def test_a_version_of_two_lines(self) -> None:
        job = self.job(signature=b"x")
        object.__setattr__(job, "version", f"2.0\nsha256: {SHA256}")
        verifier = Verifier(self.settings())
        told = verifier.check(job, self.stored())
        self.assertEqual(told, "signature: the version holds a character that cannot be printed")


class ProductTests(Bench):
    """One key for several products."""

    def setUp(self) -> None:
        super().setUp()
        self.settings_of_a = self.settings(product="A")

    def signed_for(self, product: str) -> bytes:
        return self.sign(statement("2.0", SHA256, product))

    def told(self, settings: VerifySettings, signature: bytes) -> str:
        """What is said before and after the download, with and without a digest."""
        document: dict[str, Any] = {"signature": signature, "sha256": SHA256}
        [told] = {
            self.objection(settings, **document),
            self.check(settings, **document),
            self.check(settings, signature=signature),
        }
        return told

    def test_the_right_one(self) -> None:
        self.assertEqual(self.told(self.settings_of_a, self.signed_for("A")), "")

    def test_another(self) -> None:
        not_a = f"{NOT_OURS} for the product 'A'"
        for product in ("B", "a", "A A"):
            self.assertEqual(self.told(self.settings_of_a, self.signed_for(product)), not_a)
        self.assertEqual(self.told(self.settings_of_a, b"x"), not_a)

    def test_none(self) -> None:
        told = "signature: names no product, and must name 'A'"
        self.assertEqual(self.told(self.settings_of_a, self.signed()), told)

    def test_none_of_another_version_or_key(self) -> None:
        """It is not only the product that is wrong."""
        others = make_keys(self.directory, "p256", "other")
        for signature in (self.signed("1.0"), self.sign(statement("2.0", SHA256), others)):
            told = self.told(self.settings_of_a, signature)
            self.assertEqual(told, f"{NOT_OURS} for the product 'A'")

    def test_a_device_without_a_product(self) -> None:
        """It cannot know whether the file is for it."""
        self.assertEqual(self.told(self.settings(), self.signed_for("A")), NOT_OURS)
        loose = self.settings(bind_version=False)
        self.assertEqual(self.check(loose, signature=self.signed_for("A")), NOT_OURS)

    def test_the_version_and_the_file_count_as_well(self) -> None:
        other = hashlib.sha256(b"other").hexdigest()
        for text in (statement("1.0", SHA256, "A"), statement("2.0", other, "A")):
            told = self.told(self.settings_of_a, self.sign(text))
            self.assertEqual(told, f"{NOT_OURS} for the product 'A'")

    def test_minisign(self) -> None:
        pair = make_minisign_keys(self.directory)
        settings = self.settings(keys=self.public(pair), product="A")
        for form in FORMATS:
            for product, problem in (
                ("A", ""),
                ("B", f"{NOT_OURS} for the product 'A'"),
                ("", "signature: names no product, and must name 'A'"),
            ):
                text = pair.sign(self.write("signed", statement("2.0", SHA256, product)), form)
                self.assertEqual(self.told(settings, text.encode()), problem, form)

    def test_a_trusted_comment_names_no_product(self) -> None:
        pair = make_minisign_keys(self.directory)
        text = pair.sign(self.write("signed", statement("2.0", SHA256)), comment="product: A")
        told = self.told(self.settings(keys=self.public(pair), product="A"), text.encode())
        self.assertEqual(told, "signature: names no product, and must name 'A'")

    def test_certificates(self) -> None:
        signers = Signers(self.directory)
        self.keys, pem = signers.issue("signer")
        root = tuple(load_pem_x509_certificates(signers.cafile.read_bytes()))
        settings = self.settings(keys=(), authorities=root, product="A")
        for product, problem in (("A", ""), ("B", f"{NOT_OURS} for the product 'A'")):
            document: dict[str, Any] = {"signature": self.signed_for(product), "certificate": pem}
            self.assertEqual(self.check(settings, **document), problem)

    def test_a_job_without_a_signature(self) -> None:
        """Whether that is enough is up to ``require``."""
        missing = "signature: is missing in the job document"
        self.assertEqual(self.objection(self.settings_of_a), missing)
        free = self.settings(require=Require.NONE, product="A")
        self.assertEqual((self.objection(free), self.check(free)), ("", ""))


class MinisignTests(Bench):
    """With keys of either kind."""

    def setUp(self) -> None:
        super().setUp()
        self.minisign = make_minisign_keys(self.directory)
        plain = make_keys(self.directory, "ed25519")
        self.all = (*self.public(plain), *self.public(self.keys), *self.public(self.minisign))

    def minisigned(self, content: bytes, form: str = "prehashed") -> str:
        return self.minisign.sign(self.write("signed", content), form)

    def test_the_statement(self) -> None:
        settings = self.settings(keys=self.all)
        for form in FORMATS:
            text = self.minisigned(statement("2.0", SHA256), form)
            document: dict[str, Any] = {"signature": text.encode(), "sha256": SHA256}
            self.assertEqual(self.objection(settings, **document), "", form)
            self.assertEqual(self.check(settings, **document), "", form)
            for name, wrong in changed_minisig(text):
                document["signature"] = wrong.encode()
                self.assertEqual(self.objection(settings, **document), NOT_OURS, (form, name))
                self.assertEqual(self.check(settings, **document), NOT_OURS, (form, name))

    def test_the_file_alone(self) -> None:
        strict, loose = (self.settings(keys=self.all, bind_version=bind) for bind in (True, False))
        for form in FORMATS:
            signature = self.minisigned(CONTENT, form).encode()
            self.assertEqual(self.check(strict, signature=signature), NOT_OURS, form)
            self.assertEqual(self.check(loose, signature=signature), "", form)
            other = self.minisigned(CONTENT + b"!", form).encode()
            self.assertEqual(self.check(loose, signature=other), NOT_OURS, form)

    def test_other_signatures_go_on(self) -> None:
        settings = self.settings(keys=self.all)
        self.assertEqual(self.check(settings, signature=self.signed()), "")
        self.assertEqual(self.check(settings, signature=b"untrusted comment: x"), NOT_OURS)

    def passed(self, verifier: Verifier, signature: str) -> str:
        """What is said of a file of which only those digests are known that were asked for."""
        job = self.job(signature=signature.encode())
        passage = StreamSink(FakeStreamConsumer(), verifier.digests(job))
        passage.hash(CONTENT)
        return verifier.check(job, passage)

    def test_streams(self) -> None:
        loose = Verifier(self.settings(keys=self.all, bind_version=False))
        self.assertEqual(self.passed(loose, self.minisigned(CONTENT)), "")
        self.assertEqual(self.passed(loose, self.minisigned(b"other")), NOT_OURS)
        whole = "signature: Ed25519 over the file alone needs a file that is stored"
        self.assertEqual(self.passed(loose, self.minisigned(CONTENT, "legacy")), whole)
        for form in FORMATS:
            text = self.minisigned(statement("2.0", SHA256), form)
            for verifier in (loose, Verifier(self.settings(keys=self.all))):
                self.assertEqual(self.passed(verifier, text), "", form)

    def test_which_digests_are_followed(self) -> None:
        strict, loose = (
            Verifier(self.settings(keys=self.all, bind_version=bind)) for bind in (True, False)
        )
        for form, more in (("prehashed", {"blake2b"}), ("legacy", set())):
            job = self.job(signature=self.minisigned(CONTENT, form).encode())
            self.assertEqual(loose.digests(job), {"sha256", *more})
            self.assertEqual(strict.digests(job), {"sha256"})


class CertificateTests(Bench):
    def setUp(self) -> None:
        super().setUp()
        signers = Signers(self.directory)
        self.keys, self.pem = signers.issue("signer")
        self.root = tuple(load_pem_x509_certificates(signers.cafile.read_bytes()))

    def test_good(self) -> None:
        settings = self.settings(keys=(), authorities=self.root)
        document: dict[str, Any] = {"signature": self.signed(), "certificate": self.pem}
        self.assertEqual(self.objection(settings, **document), "")
        self.assertEqual(self.check(settings, **document), "")

    def test_is_missing(self) -> None:
        settings = self.settings(keys=(), authorities=self.root)
        missing = "certificate: is missing in the job document"
        self.assertEqual(self.objection(settings, signature=self.signed()), missing)
        self.assertEqual(self.check(settings, signature=self.signed()), missing)

    def test_has_expired(self) -> None:
        settings = self.settings(keys=(), authorities=self.root)
        document: dict[str, Any] = {"signature": self.signed(), "certificate": self.pem}
        later = NOW + timedelta(days=31)
        expired = "certificate: certificate has expired"
        self.assertEqual(self.objection(settings, later, **document), expired)
        self.assertEqual(self.check(settings, later, **document), expired)

    def test_a_key_of_ours_needs_none(self) -> None:
        settings = self.settings(authorities=self.root)
        self.assertEqual(self.check(settings, signature=self.signed()), "")
        self.assertEqual(self.check(settings, signature=self.signed(), certificate="wrong"), "")

    def test_nobody_to_believe_it(self) -> None:
        """A job that brings its own key along proves nothing."""
        others = make_keys(self.directory, "p256", "other")
        settings = self.settings(keys=self.public(others))
        document: dict[str, Any] = {"signature": self.signed(), "certificate": self.pem}
        self.assertEqual(self.check(settings, **document), NOT_OURS)

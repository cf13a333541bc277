"""Signatures that ``openssl`` and ``minisign`` have made, and what has been changed in them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED, TEXTS
from tests.support.minisign import FORMATS, changed_minisig, make_minisign_keys
from tests.support.openssl import ALGORITHMS, flips, make_keys
from upparat.minisign import parse_signature
from upparat.signing.keys import MinisignKey, PublicKey, load_keys
from upparat.signing.signatures import Text, statement, verified

from .bench import Bench

SHA256 = "0123456789abcdef" * 4


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

    def test_text_with_a_product(self) -> None:
        """The same holds for it."""
        self.assertEqual(
            statement("2.0 ü", SHA256, "board A"),
            f"upparat-update 2\nproduct: board A\nversion: 2.0 ü\nsha256: {SHA256}\n".encode(),
        )

    def test_a_version_is_one_line(self) -> None:
        for version in ("2.0\nsha256: 1", "2.0\r", "\u2028", "\x1b"):
            self.assertRaises(ValueError, statement, version, SHA256)

    def test_a_product_is_one_line(self) -> None:
        for product in ("A\nversion: 3.0", "A\r", "\u2028", "\x1b"):
            self.assertRaises(ValueError, statement, "2.0", SHA256, product)

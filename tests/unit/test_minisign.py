"""The texts of minisign: what is read of them, and that nothing else is taken for one."""

from __future__ import annotations

import base64
import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED, TEXTS
from upparat.minisign import Signature, parse_key, parse_signature, recognized

KEY_ID, KEY, SIGNATURE, GLOBAL = b"12345678", b"k" * 32, b"s" * 64, b"g" * 64
LINES = st.sampled_from(
    [
        b"untrusted comment: x",
        base64.b64encode(b"ED" + KEY_ID + SIGNATURE),
        base64.b64encode(b"Ed" + KEY_ID + KEY),
        b"trusted comment: y",
        base64.b64encode(GLOBAL),
        b"",
    ]
) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b""])
ANY_TEXT = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=6).map(b"".join) | st.binary()
"""Texts that are nearly right, and any bytes."""


def minisig(
    first: bytes = b"untrusted comment: x",
    made: bytes = b"ED" + KEY_ID + SIGNATURE,
    third: bytes = b"trusted comment: y",
    made_of_all: bytes = GLOBAL,
) -> bytes:
    encoded = base64.b64encode(made), base64.b64encode(made_of_all)
    return b"\n".join([first, encoded[0], third, encoded[1], b""])


class SignatureTests(SynchronousTestCase):
    def problem(self, text: bytes) -> str:
        self.assertIsNone(recognized(text))
        return str(self.assertRaises(ValueError, parse_signature, text))

    def test_both_formats(self) -> None:
        for algorithm, prehashed in ((b"ED", True), (b"Ed", False)):
            expected = Signature(prehashed, KEY_ID, SIGNATURE, b"y", GLOBAL)
            text = minisig(made=algorithm + KEY_ID + SIGNATURE)
            self.assertEqual(parse_signature(text), expected)
            self.assertEqual(recognized(text), expected)

    def test_ends_of_lines(self) -> None:
        expected = parse_signature(minisig())
        for text in (
            minisig().replace(b"\n", b"\r\n"),
            minisig().removesuffix(b"\n"),
            minisig().replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
        ):
            self.assertEqual(parse_signature(text), expected)

    def test_comments(self) -> None:
        """What is signed of one is all of it, whatever the bytes."""
        for comment in (b"", b" ", b" y ", b"y\tz", "ü".encode(), b"\xff", b"trusted comment: "):
            text = minisig(first=b"untrusted comment:", third=b"trusted comment: " + comment)
            self.assertEqual(parse_signature(text).comment, comment)

    def test_anything_else(self) -> None:
        for text, problem in (
            (b"", "has 1 lines, not 4"),
            (minisig() + b"\n", "has 5 lines, not 4"),
            (minisig(first=b"comment: x"), "line 1 is no untrusted comment"),
            (minisig(third=b"trusted comment:"), "line 3 is no trusted comment"),
            (minisig(third=b"untrusted comment: y"), "line 3 is no trusted comment"),
            (minisig(made=b"ED" + KEY_ID), "line 2 holds 10 bytes, not 74"),
            (minisig(made_of_all=GLOBAL + b"g"), "line 4 holds 65 bytes, not 64"),
            (minisig(made=b"RW" + KEY_ID + SIGNATURE), "the algorithm is neither Ed nor ED"),
            (minisig().replace(base64.b64encode(GLOBAL), b"*"), "line 4 is not base64"),
            (minisig().replace(b"==\n", b"== \n"), "line 4 is not base64"),
        ):
            self.assertEqual(self.problem(text), problem)

    @RELAXED
    @given(ANY_TEXT)
    def test_any(self, text: bytes) -> None:
        made = recognized(text)
        with contextlib.suppress(ValueError):
            self.assertEqual(parse_signature(text), made)
        if made is not None:
            self.assertTrue(text.startswith(b"untrusted comment:"))
            sizes = len(made.key_id), len(made.signature), len(made.global_signature)
            self.assertEqual(sizes, (8, 64, 64))
            self.assertNotIn(b"\n", made.comment)


class KeyTests(SynchronousTestCase):
    line = base64.b64encode(b"Ed" + KEY_ID + KEY)

    def problem(self, text: bytes) -> str:
        return str(self.assertRaises(ValueError, parse_key, text))

    def test_with_a_comment_and_without(self) -> None:
        for text in (
            self.line,
            self.line + b"\n",
            self.line + b"\r\n",
            b"untrusted comment: x\n" + self.line,
            b"untrusted comment: x\r\n" + self.line + b"\r\n",
        ):
            self.assertEqual(parse_key(text), (KEY_ID, KEY))

    def test_anything_else(self) -> None:
        comment = b"untrusted comment: x\n"
        for text, problem in (
            (b"", "line 1 holds 0 bytes, not 42"),
            (comment, "has 1 lines, not 2"),
            (self.line + b"\n" + self.line, "has 2 lines, not 1"),
            (comment + self.line + b"\n" + self.line, "has 3 lines, not 2"),
            (comment + b"*", "line 2 is not base64"),
            (comment + base64.b64encode(bytes(158)), "line 2 holds 158 bytes, not 42"),
            (comment + base64.b64encode(b"ED" + KEY_ID + KEY), "the algorithm is not Ed"),
        ):
            self.assertEqual(self.problem(text), problem)

    @RELAXED
    @given(ANY_TEXT)
    def test_any(self, text: bytes) -> None:
        with contextlib.suppress(ValueError):
            self.assertEqual([len(part) for part in parse_key(text)], [8, 32])

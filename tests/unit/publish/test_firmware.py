"""Digests and parts of a file."""

from __future__ import annotations

import base64
import hashlib

from upparat.publish import firmware as module
from upparat.publish.firmware import MIB, MOST_PARTS, PART_SIZE, examine, part_size
from upparat.publish.request import BadArgument, PublishFailed

from .bench import PublishBench


def b64(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class PartSizeTests(PublishBench):
    def test_a_file_has_at_most_so_many_parts_as_s3_admits(self) -> None:
        self.assertEqual(part_size(1), PART_SIZE)
        self.assertEqual(part_size(PART_SIZE * MOST_PARTS), PART_SIZE)
        self.assertEqual(part_size(PART_SIZE * MOST_PARTS + 1), PART_SIZE + MIB)
        for size in (10**11, 5 * 2**40):
            self.assertLessEqual(-(-size // part_size(size)), MOST_PARTS)


class ExamineTests(PublishBench):
    def test_a_small_file_is_one_part(self) -> None:
        found = self.firmware(b"abc")
        self.assertEqual((found.size, found.sha256), (3, hashlib.sha256(b"abc").hexdigest()))
        [part] = found.parts
        self.assertEqual((part.offset, part.length, part.sha256), (0, 3, b64(b"abc")))
        self.assertTrue(found.single)
        self.assertEqual(found.s3_checksum, b64(b"abc"))

    def test_an_empty_file(self) -> None:
        found = self.firmware(b"")
        self.assertEqual((found.size, found.sha256), (0, hashlib.sha256().hexdigest()))
        self.assertEqual(found.parts[0].read(), b"")

    def test_a_large_file_has_parts_with_digests_of_their_own(self) -> None:
        self.patch(module, "PART_SIZE", 4)
        self.patch(module, "part_size", lambda _: 4)
        content = b"0123456789"
        seen: list[tuple[int, int]] = []
        found = examine(self.file(content), lambda *done: seen.append(done))
        self.assertEqual([part.read() for part in found.parts], [b"0123", b"4567", b"89"])
        self.assertEqual(
            [part.sha256 for part in found.parts], [b64(b"0123"), b64(b"4567"), b64(b"89")]
        )
        self.assertEqual(found.sha256, hashlib.sha256(content).hexdigest())
        digests = b"".join(hashlib.sha256(part.read()).digest() for part in found.parts)
        self.assertEqual(found.s3_checksum, f"{b64(digests)}-3")
        self.assertEqual(seen, [(4, 10), (8, 10), (10, 10)])
        self.assertFalse(found.single)

    def test_a_file_that_cannot_be_read(self) -> None:
        missing = self.directory / "missing"
        error = self.assertRaises(BadArgument, examine, missing)
        self.assertEqual(str(error), f"FILE: {missing}: No such file or directory")
        error = self.assertRaises(BadArgument, examine, self.directory)
        self.assertEqual(str(error), f"FILE: {self.directory}: Is a directory")

    def test_a_file_that_becomes_shorter_meanwhile(self) -> None:
        path = self.file(b"x" * (2 * MIB))

        def shorten(done: int, total: int) -> None:
            if done == MIB:
                path.write_bytes(b"x" * MIB)

        self.patch(module, "part_size", lambda _: MIB)
        error = self.assertRaises(BadArgument, examine, path, shorten)
        self.assertIn("has become shorter", str(error))

    def test_a_part_that_is_gone_before_it_is_sent(self) -> None:
        [part] = self.firmware(b"abc").parts
        part.path.write_bytes(b"ab")
        error = self.assertRaises(PublishFailed, part.read)
        self.assertIn("has changed during the upload", str(error))

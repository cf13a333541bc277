"""Uploads that survive a restart."""

from __future__ import annotations

import stat

from tests.unit.joblog.bench import A, B, DirectoryTestCase
from upparat.job import ExecutionKey
from upparat.joblog.directory import KEPT
from upparat.joblog.pending import PendingUpload, PendingUploads

URL = "https://h/log?X-Amz-Signature=secret"


class PendingTests(DirectoryTestCase):
    def setUp(self) -> None:
        super().setUp()
        for key in (A, B):
            self.add_log(key)
        self.uploads = PendingUploads(self.directory)

    def add_log(self, key: ExecutionKey) -> None:
        self.directory.files.write(self.directory.create(key).segment(0), b"text\n")

    def test_the_url_does_not_show(self) -> None:
        self.assertNotIn("secret", repr(PendingUpload(A, URL)))

    def test_remembered(self) -> None:
        self.assertEqual(self.uploads.all(), [])
        self.assertIsNone(self.uploads.find(A))
        pending = [PendingUpload(A, URL, 3), PendingUpload(B, URL)]
        for each in reversed(pending):
            self.uploads.save(each)
        self.uploads = PendingUploads(self.directory)
        self.assertEqual(self.uploads.all(), pending)
        self.assertEqual(self.uploads.find(A), pending[0])

    def test_for_the_agent_alone(self) -> None:
        self.uploads.save(PendingUpload(A, URL))
        mode = (self.path / "1.a.1.100.upload").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_replaced_and_removed(self) -> None:
        self.uploads.save(PendingUpload(A, URL))
        self.uploads.save(PendingUpload(A, URL, 2))
        self.assertEqual(self.uploads.all(), [PendingUpload(A, URL, 2)])
        self.uploads.remove(A)
        self.uploads.remove(A)
        self.assertEqual(self.files(), ["1.a.1.100.0.log", "2.b.2.50.0.log"])

    def test_it_goes_with_its_log(self) -> None:
        self.uploads.save(PendingUpload(A, URL))
        for number in range(KEPT):
            self.add_log(ExecutionKey("c", number, 0))
        self.assertEqual(self.uploads.all(), [])
        self.assertEqual(len(self.files()), KEPT)

    def test_without_a_log(self) -> None:
        self.uploads.save(PendingUpload(ExecutionKey("c", 1, 0), URL))
        self.assertEqual(self.uploads.all(), [])

    def test_what_makes_no_sense_is_none(self) -> None:
        for content in (
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"url": 1, "attempts": 1}',
            b'{"url": "https://h/", "attempts": "1"}',
            b"\xff",
            b"[" * 9999,
        ):
            self.directory.files.write("1.a.1.100.upload", content)
            self.assertEqual(self.uploads.all(), [], content)

    def test_trouble_with_the_disk(self) -> None:
        self.path.chmod(0o770)
        self.uploads.save(PendingUpload(A, URL))
        self.uploads.remove(A)
        self.assertEqual(self.uploads.all(), [])
        self.assertIsNone(self.uploads.find(A))

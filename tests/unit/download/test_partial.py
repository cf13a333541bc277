"""A partial download, measured against its job."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.downloads import make_job
from upparat.download.partial import DiskError, FileMismatch, PartialDownload, Sink, mismatch
from upparat.download.response import Body, ResumePoint
from upparat.linux import read_boot_id
from upparat.storage.directory import Note


class FakeSink:
    def __init__(self, length: int = 0, **note: Any) -> None:
        self.length = length
        self.sha256 = "1" * 64
        self.note = Note(**note)
        self.calls: list[object] = []

    def read_note(self) -> Note:
        return self.note

    def write_note(self, note: Note) -> None:
        self.calls.append(note)

    def start_over(self) -> None:
        self.calls.append("start_over")
        self.length = 0

    def make_room(self, total: int) -> None:
        if total > 1000:
            raise OSError("full")
        self.calls.append(total)


_sink: type[Sink] = FakeSink


def make_partial(sink: FakeSink, **job: Any) -> PartialDownload:
    return PartialDownload(make_job("https://h/f?secret", **job), sink)


class PartialDownloadTests(SynchronousTestCase):
    def test_a_resume_point_needs_an_etag_or_a_digest(self) -> None:
        point = ResumePoint(4, '"e"', 10)
        self.assertEqual(make_partial(FakeSink(4, etag='"e"', total=10)).resume_point, point)
        self.assertEqual(make_partial(FakeSink(4, total=10)).resume_point, ResumePoint())
        partial = make_partial(FakeSink(4, total=10), sha256="1" * 64)
        self.assertEqual(partial.resume_point, ResumePoint(4, "", 10, judged=True))

    def test_etags_that_cannot_be_relied_on(self) -> None:
        sink = FakeSink(4, etag='"e"', total=10)
        partial = make_partial(sink, sha256="1" * 64)
        partial.believe_etags()
        self.assertEqual(partial.resume_point, ResumePoint(4, '"e"', 10, judged=True))
        partial.distrust_etags()
        self.assertEqual(partial.resume_point, ResumePoint(4, "", 10, judged=True))
        partial.begin(Body(4, '"f"', 10))
        self.assertEqual(sink.calls[0], Note("/f", "", 10, boot_id=read_boot_id()))
        partial.believe_etags()
        partial.begin(Body(4, '"f"', 10))
        self.assertEqual(partial.resume_point, ResumePoint(4, '"f"', 10))

    def test_bytes_of_an_earlier_run(self) -> None:
        note = {"path": "/f", "etag": '"e"', "total": 10, "boot_id": read_boot_id()}
        self.assertTrue(make_partial(FakeSink(4, **note)).continuable)
        for other in ({"path": "/g"}, {"boot_id": "another"}, {"etag": "", "total": None}):
            partial = make_partial(FakeSink(4, **{**note, **other}))
            self.assertFalse(partial.continuable, other)
        self.assertFalse(make_partial(FakeSink(4, **note), size=3).continuable)

    def test_a_body_from_byte_0_discards_what_is_there(self) -> None:
        sink = FakeSink(4, etag='"e"', total=10)
        make_partial(sink).begin(Body(0, '"f"', 20))
        note = Note("/f", '"f"', 20, boot_id=read_boot_id())
        self.assertEqual(sink.calls, ["start_over", note, 20])

    def test_a_body_of_another_size(self) -> None:
        partial = make_partial(FakeSink(), size=10)
        problem = self.assertRaises(FileMismatch, partial.begin, Body(0, "", 11))
        self.assertEqual(str(problem), "size: expected 10 bytes, the server has 11")

    def test_a_body_that_does_not_fit(self) -> None:
        self.assertRaises(DiskError, make_partial(FakeSink()).begin, Body(0, "", 1001))

    def test_the_size_counts_before_what_the_server_says(self) -> None:
        sink = FakeSink(10, total=20)
        self.assertEqual((make_partial(sink).total, make_partial(sink).full), (20, False))
        sized = make_partial(sink, size=10)
        self.assertEqual((sized.total, sized.full), (10, True))
        self.assertRaises(FileMismatch, sized.expect, 11)

    def test_the_complete_file(self) -> None:
        sink = FakeSink(10, etag='"e"')
        partial = make_partial(sink, sha256="1" * 64)
        partial.check()
        self.assertTrue(partial.proven)
        self.assertEqual(partial.complete_note, Note("/f", '"e"', 10, "1" * 64))
        self.assertRaises(FileMismatch, make_partial(sink, sha256="0" * 64).check)

    def test_mismatches(self) -> None:
        job = make_job("https://h/f", size=3, sha256="0" * 64)
        self.assertEqual(mismatch(job, 3, "0" * 64), "")
        self.assertEqual(mismatch(job, 4, "0" * 64), "size: expected 3 bytes, got 4")
        self.assertIn("sha256: expected 000", mismatch(job, 3, "1" * 64))

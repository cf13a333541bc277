"""The format of bundles: what is written is read, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from upparat.bundle.archive import (
    DOCUMENT,
    MAX_DOCUMENT,
    BadBundle,
    member_name,
    read_bundle,
    write_bundle,
)

UPDATE = bytes(range(256)) * 3
MEMBERS = {
    "action": "upparat-update",
    "version": "2.0",
    "size": len(UPDATE),
    "sha256": hashlib.sha256(UPDATE).hexdigest(),
}


def made(update: bytes = UPDATE, **changes: object) -> bytes:
    target = io.BytesIO()
    digest = hashlib.sha256(update).hexdigest()
    document = {**MEMBERS, "size": len(update), "sha256": digest, **changes}
    write_bundle(target, document, "app.bin", io.BytesIO(update), len(update))
    return target.getvalue()


def member(name: str, content: bytes, **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for attribute, value in changes.items():
        setattr(header, attribute, value)
    return header, content


def archive(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format) as tar:
        for header, content in members:
            tar.addfile(header, io.BytesIO(content))
    return target.getvalue()


def job(**changes: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(DOCUMENT, json.dumps({**MEMBERS, **changes}).encode())


FILE = member("app.bin", UPDATE)


class BundleTests(SynchronousTestCase):
    def problem(self, content: bytes) -> str:
        return str(self.assertRaises(BadBundle, read_bundle, io.BytesIO(content)))

    def test_there_and_back(self) -> None:
        for update in (b"", b"x", UPDATE, bytes(512), bytes(100_000)):
            content = made(update)
            bundle = read_bundle(io.BytesIO(content))
            self.assertEqual(bundle.document["version"], "2.0")
            self.assertEqual((bundle.name, bundle.size), ("app.bin", len(update)))
            self.assertEqual(content[bundle.offset : bundle.offset + bundle.size], update)

    def test_tar_reads_it_and_writes_it(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(made())) as tar:
            self.assertEqual(tar.getnames(), [DOCUMENT, "app.bin"])
        for format in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
            self.assertEqual(read_bundle(io.BytesIO(archive(job(), FILE, format=format))).size, 768)

    def test_an_update_of_more_than_8_gib(self) -> None:
        size = 9 << 30
        header = tarfile.TarInfo("big")
        header.size = size
        first = archive(job(size=size))[:1024]

        class Sparse(io.BytesIO):
            """Pretends to be as long as the bundle should be."""

            def seek(self, offset: int, whence: int = 0) -> int:
                end = 1536 + size + 1024
                return end if whence == io.SEEK_END else super().seek(offset, whence)

        content = Sparse(first + header.tobuf(tarfile.GNU_FORMAT))
        self.assertEqual(read_bundle(content).size, size)

    def test_names(self) -> None:
        for name, kept in (
            ("app 1.0.bin", "app_1.0.bin"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("job.json", "update"),
            ("...", "update"),
            ("ä" * 200, "_" * 100),
        ):
            self.assertEqual(member_name(name), kept)

    def test_what_is_no_bundle(self) -> None:
        for content in (b"", b"x" * 511, b"x" * 512, bytes(2048), b"PK\x03\x04" + bytes(600)):
            self.assertTrue(self.problem(content))

    def test_other_members(self) -> None:
        for content, problem in (
            (archive(FILE, job()), "the first member is 'app.bin', not 'job.json'"),
            (archive(job()), "there is no member at byte 1024: end of file header"),
            (archive(job(), FILE, member("more", b"x")), "it holds more than the update"),
            (archive(job(), job()), "the second member has the name 'job.json'"),
            (archive(member("./job.json", b"{}"), FILE), "the first member is './job.json'"),
        ):
            self.assertIn(problem, self.problem(content))

    def test_names_of_other_places(self) -> None:
        for name in ("/etc/passwd", "../app", "a/b", ".app", "", "a" * 101, "a\nb", "ä"):
            self.assertTrue(self.problem(archive(job(), member(name, UPDATE))), name)

    def test_links_and_devices(self) -> None:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            linked = member("app.bin", b"", type=kind, linkname="/etc/shadow")
            self.assertIn("is not a plain file", self.problem(archive(job(size=0), linked)))

    def test_documents(self) -> None:
        for content, problem in (
            (b"{", "job.json is not JSON"),
            (b"[" * 20_000, "job.json is not JSON"),
            (b"\xff", "job.json is not JSON"),
            (b"[]", "job.json is not an object"),
            (b'{"version":"1","version":"2"}', "job.json has a key twice"),
            (b" " * (MAX_DOCUMENT + 1), f"job.json is longer than {MAX_DOCUMENT} bytes"),
        ):
            self.assertEqual(self.problem(archive(member(DOCUMENT, content), FILE)), problem)

    def test_members_of_the_document(self) -> None:
        for changes, problem in (
            ({"file": "https://x/"}, "job.json: file: a bundle needs no URL"),
            ({"delta": "https://x/"}, "job.json: delta: a bundle needs no URL"),
            ({"sha256": None}, "job.json: sha256: is missing"),
            ({"size": None}, "job.json: size: is not the 768 bytes of the update"),
            ({"size": 767}, "job.json: size: is not the 768 bytes of the update"),
            ({"size": True}, "job.json: size: is not the 768 bytes of the update"),
        ):
            self.assertEqual(self.problem(archive(job(**changes), FILE)), problem)

    def test_every_other_length(self) -> None:
        content = made()
        for length in range(0, len(content), 37):
            self.assertTrue(self.problem(content[:length]), length)
        self.assertEqual(self.problem(content + b"x"), "it holds more than the update")
        self.assertEqual(self.problem(content + bytes(20_000)), "it holds more than the update")
        read_bundle(io.BytesIO(content + bytes(1024)))

    def test_bytes_between_the_members(self) -> None:
        content = bytearray(made())
        content[1023] = 1
        self.assertEqual(self.problem(bytes(content)), "it holds bytes between its members")

    def test_a_file_that_changes_meanwhile(self) -> None:
        for update in (UPDATE + b"x", UPDATE[:-1], bytes(len(UPDATE))):
            error = self.assertRaises(
                ValueError,
                write_bundle,
                io.BytesIO(),
                MEMBERS,
                "a",
                io.BytesIO(update),
                len(UPDATE),
            )
            self.assertEqual(str(error), "the file has changed meanwhile")

    def test_a_document_that_is_too_long(self) -> None:
        error = self.assertRaises(ValueError, made, meta="x" * MAX_DOCUMENT)
        self.assertIn("would be longer than", str(error))

    @given(some.integers(0, len(made()) - 1), some.integers(1, 255))
    @RELAXED
    def test_a_flipped_byte(self, place: int, bits: int) -> None:
        """It is refused, or what was read is the same but for the document and the name: the digest
        and the signature judge those."""
        content = bytearray(made())
        content[place] ^= bits
        try:
            bundle = read_bundle(io.BytesIO(bytes(content)))
        except BadBundle:
            return
        self.assertEqual((bundle.offset, bundle.size), (1536, len(UPDATE)))

    @given(some.binary(max_size=3000), some.integers(0, 2000))
    @RELAXED
    def test_any_bytes(self, more: bytes, kept: int) -> None:
        try:
            bundle = read_bundle(io.BytesIO(made()[:kept] + more))
        except BadBundle:
            return
        self.assertEqual(bundle.size, len(UPDATE))

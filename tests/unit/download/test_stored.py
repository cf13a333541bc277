"""A file on its way to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.internet.defer import Deferred

from tests.support.downloads import KEY, make_job, write_later
from tests.unit.download.bench import (
    CONTENT,
    SHA256,
    URL,
    Answer,
    Bench,
    broken,
    rest,
    whole,
)
from upparat.config.settings import DownloadSettings, Require, VerifySettings
from upparat.download.budget import Budget
from upparat.download.partial import FileMismatch
from upparat.download.response import Body
from upparat.download.stored import TAMPERED, StoredDestination
from upparat.download.transfer import DISK_ATTEMPTS, DISK_PAUSE
from upparat.download.work import BackgroundWork
from upparat.download.writer import FLUSH_DELAY
from upparat.job import State
from upparat.storage.directory import Store
from upparat.storage.part import PartialFile


class ResumeTests(Bench):
    def asked_ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    def test_a_part_is_continued_after_a_restart(self) -> None:
        self.leave_part()
        self.start(rest(4), sha256=SHA256)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.assertEqual(self.asked, [(URL, {"Range": "bytes=4-", "If-Match": '"e"'})])

    def test_a_part_that_cannot_belong_to_the_file_is_not(self) -> None:
        for note, job in (
            ({"path": "/other"}, {}),
            ({"etag": "", "total": None}, {}),
            ({"total": 11}, {"size": 10}),
            ({"total": None}, {"size": 3}),
        ):
            self.leave_part(**note)
            self.start(Answer(500), **job)
            self.assertEqual(self.asked.pop(), (URL, {}), note)
            self.assertEqual(self.files.part.stat().st_size, 0)
            self.downloader.stop()

    def test_a_complete_part_needs_no_request(self) -> None:
        self.leave_part(CONTENT)
        self.start(sha256=SHA256)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.assertEqual(self.asked, [])

    def test_a_part_that_cannot_be_read_comes_anew(self) -> None:
        self.leave_part()
        trouble = OSError(errno.EIO, "Input/output error")
        with mock.patch.object(PartialFile, "rehash", side_effect=trouble):
            self.start(whole())
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual([headers.get("Range") for _, headers in self.asked], [None])

    def test_a_part_of_another_boot_may_hold_zeros(self) -> None:
        """It was not synced: only the digest of the job could tell."""
        self.leave_part(bytes(4), boot_id="another")
        self.start(whole())
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)

    def test_a_part_of_another_boot_with_a_digest_is_continued(self) -> None:
        self.leave_part(boot_id="another")
        self.start(rest(4), sha256=SHA256)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))

    def test_stop_while_it_is_hashed(self) -> None:
        self.leave_part()
        self.reactor.pool.held = []
        self.start()
        self.downloader.stop()
        self.reactor.pool.held.pop()()
        self.assertEqual((self.heard.events, self.asked), ([], []))
        self.assertEqual(self.files.part.read_bytes(), CONTENT[:4])

    def test_a_complete_file_is_used_again_only_if_it_is_right(self) -> None:
        self.start(whole())
        for values, content, requests in (
            ({"sha256": SHA256}, CONTENT, 0),
            ({"sha256": "0" * 64}, CONTENT, 1),
            ({"size": 11}, CONTENT, 1),
            ({}, CONTENT[::-1], 1),
            ({}, CONTENT[1:], 1),
        ):
            self.new()
            self.files.complete.write_bytes(content)
            self.asked.clear()
            self.start(Answer(404), **values)
            self.assertEqual(len(self.asked), requests, (values, content))

    def test_a_complete_file_that_goes_away_meanwhile_is_fetched(self) -> None:
        self.start(whole())
        self.new()
        self.reactor.pool.held = []
        self.start(whole())
        self.files.complete.unlink()
        hashing, self.reactor.pool.held = self.reactor.pool.held, None
        hashing.pop()()
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_stop_between_the_sync_and_the_name(self) -> None:
        self.reactor.pool.held = []
        self.start(whole())
        self.downloader.stop()
        self.reactor.pool.held.pop()()
        self.assertFalse(self.files.complete.exists())
        self.assertEqual(self.heard.outcome, None)


class EtagTests(Bench):
    """Two servers behind one name, each with an ETag of its own."""

    def other(self, start: int, end: int = 10, content: bytes = CONTENT) -> Answer:
        answer = rest(start, end)
        return replace(
            answer, headers={**answer.headers, "etag": '"f"'}, chunks=[content[start:end]]
        )

    def wait(self, times: int = 1) -> None:
        self.reactor.pump([1.0] * times)

    @property
    def headers(self) -> list[dict[str, str]]:
        return [headers for _, headers in self.asked]

    def test_no_byte_is_thrown_away(self) -> None:
        """However the server refuses: once without If-Match, and never with it again."""
        for refusal in (Answer(412), self.other(4), replace(whole(), headers={"etag": '"f"'})):
            self.asked.clear()
            self.start(
                broken(4), refusal, self.other(4, 6), rest(6, 8), self.other(8), sha256=SHA256
            )
            self.assertEqual(len(self.asked), 1)
            self.wait(3)
            self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
            self.assertEqual(
                self.headers,
                [
                    {},
                    {"Range": "bytes=4-", "If-Match": '"e"'},
                    *({"Range": f"bytes={n}-"} for n in (4, 6, 8)),
                ],
            )
            self.downloader.discard(KEY)

    def test_it_is_no_attempt(self) -> None:
        self.settings = DownloadSettings(max_attempts=1)
        self.new()
        self.start(broken(4), Answer(412), self.other(4), sha256=SHA256)
        self.wait()
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))

    def test_sha512(self) -> None:
        self.start(broken(4), Answer(412), rest(4), sha512=hashlib.sha512(CONTENT).hexdigest())
        self.wait()
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))

    def test_after_a_redirect(self) -> None:
        door = Answer(302, {"location": "https://g/f"})
        self.start(broken(4), door, Answer(412), self.other(4), sha256=SHA256)
        self.wait()
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual([url for url, _ in self.asked][2:], ["https://g/f"] * 2)

    def test_without_any_total(self) -> None:
        chunked = Answer(200, {"etag": '"e"'}, None, [CONTENT[:4]], ConnectionError())
        self.start(chunked, Answer(412), self.other(4), sha256=SHA256)
        self.wait()
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.headers[2], {"Range": "bytes=4-"})

    def test_without_a_digest_it_starts_over(self) -> None:
        for refusal in (Answer(412), self.other(4)):
            self.asked.clear()
            self.heard.events.clear()
            self.start(broken(4), refusal, whole())
            self.wait(2)
            self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
            self.assertEqual(self.headers[2], {})
            self.downloader.discard(KEY)

    def test_another_size_is_another_file(self) -> None:
        longer = {"etag": '"f"', "content-range": "bytes 4-10/11"}
        self.start(broken(4), Answer(412), Answer(206, longer), whole(), sha256=SHA256)
        self.wait(2)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.headers[2:], [{"Range": "bytes=4-"}, {}])

    def test_412_for_ever(self) -> None:
        """One more request for the first, and then the attempts are used up."""
        self.start(broken(4), *[Answer(412)] * 20, sha256=SHA256)
        self.reactor.pump([64.0] * 10)
        failed = ("download_failed", State.DOWNLOAD_FAILED, "HTTP 412 Precondition Failed")
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(self.headers[2:], [{"Range": "bytes=4-"}, {}])

    def test_after_a_wrong_digest_each_etag_is_a_file(self) -> None:
        """The servers have different files: a second mixture would be wrong as well."""
        wrong = CONTENT[::-1]
        self.start(
            *(broken(4), Answer(412), self.other(4, content=wrong)),
            *(broken(4), self.other(4, content=wrong), broken(6), rest(6)),
            sha256=SHA256,
        )
        self.reactor.pump([64.0] * 5)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)
        match = {"If-Match": '"e"'}
        self.assertEqual(
            self.headers[2:],
            [
                {"Range": "bytes=4-"},
                *({}, {"Range": "bytes=4-", **match}),
                *({}, {"Range": "bytes=6-", **match}),
            ],
        )

    def test_a_damaged_part_is_no_reason_to_believe_etags(self) -> None:
        self.leave_part(b"xxxx")
        self.start(rest(4), broken(4), Answer(412), self.other(4), sha256=SHA256)
        self.wait(2)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(
            self.headers[1:], [{}, {"Range": "bytes=4-", "If-Match": '"e"'}, {"Range": "bytes=4-"}]
        )


class DiskTests(Bench):
    def fail_with(self, number: int, method: str) -> tuple[Any, ...]:
        error = OSError(number, os.strerror(number))
        with mock.patch.object(PartialFile, method, side_effect=error):
            self.start(whole(), whole(), whole())
            self.reactor.pump([DISK_PAUSE] * 2)
        assert self.heard.outcome is not None
        return self.heard.outcome

    def test_no_room(self) -> None:
        failed = ("download_failed", State.INSUFFICIENT_STORAGE, "No space left on device")
        self.assertEqual(self.fail_with(errno.ENOSPC, "write"), failed)
        self.assertEqual(os.listdir(self.directory), [])

    def test_others_make_room(self) -> None:
        error = OSError(errno.ENOSPC, "full")
        with mock.patch.object(PartialFile, "write", side_effect=error):
            self.start(whole(), whole())
        self.assertIsNone(self.heard.outcome)
        self.reactor.advance(DISK_PAUSE)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))

    def test_no_room_is_seen_before(self) -> None:
        failed = ("download_failed", State.INSUFFICIENT_STORAGE, "No space left on device")
        self.assertEqual(self.fail_with(errno.ENOSPC, "make_room"), failed)

    def test_a_broken_disk(self) -> None:
        for method in ("write", "commit", "syncing"):
            failed = (
                "download_failed",
                State.DOWNLOAD_FAILED,
                "the file cannot be stored: Input/output error",
            )
            self.assertEqual(self.fail_with(errno.EIO, method), failed)

    def test_removing_that_fails_too(self) -> None:
        with mock.patch("pathlib.Path.unlink", side_effect=OSError(errno.EROFS, "read-only")):
            outcome = self.fail_with(errno.ENOSPC, "write")
        self.assertEqual(outcome[1], State.INSUFFICIENT_STORAGE)

    def test_a_sync_that_fails_leaves_nothing_to_build_upon(self) -> None:
        """Linux identifies it once, and takes the pages for written."""
        trouble = [OSError(errno.EIO, "Input/output error"), None]
        with mock.patch("os.fdatasync", side_effect=trouble):
            self.start(whole(), whole(), sha256=SHA256)
            self.assertEqual(self.files.part.read_bytes(), b"")
            self.reactor.advance(DISK_PAUSE)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual([headers.get("Range") for _, headers in self.asked], [None, None])

    def test_bytes_that_come_again_renew_the_attempts(self) -> None:
        parts = [broken(2), *(rest(n, n + 1) for n in range(2, 9)), rest(9)]
        trouble = [OSError(errno.EIO, "Input/output error"), None]
        with mock.patch("os.fdatasync", side_effect=trouble):
            self.start(whole(), *parts, sha256=SHA256)
            self.reactor.pump([DISK_PAUSE] * 10)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertGreater(len(parts), self.settings.max_attempts)

    def test_a_directory_that_cannot_be_synced_at_first(self) -> None:
        trouble = [OSError(errno.EIO, "Input/output error"), None]
        with mock.patch("upparat.storage.part.sync_directory", side_effect=trouble):
            self.start(whole(), sha256=SHA256)
            self.assertFalse(self.files.complete.exists())
            self.reactor.advance(DISK_PAUSE)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)
        self.assertEqual(len(self.asked), 1)

    def test_a_directory_in_the_way(self) -> None:
        self.directory.write_bytes(b"")
        self.start(whole())
        self.assertEqual(self.heard.outcome[:2], ("download_failed", State.DOWNLOAD_FAILED))  # type: ignore[index]

    def test_a_directory_with_the_files_name(self) -> None:
        (self.directory / "job").mkdir(parents=True)
        self.start(whole())
        self.reactor.pump([DISK_PAUSE] * 2)
        failed = (
            "download_failed",
            State.DOWNLOAD_FAILED,
            "the file cannot be stored: Is a directory",
        )
        self.assertEqual(self.heard.outcome, failed)


class RemovalTests(Bench):
    """A cleaner removes what is in use."""

    def remove(self) -> None:
        shutil.rmtree(self.directory)

    def remove_part(self) -> None:
        self.files.part.unlink()

    @property
    def ways(self) -> tuple[Callable[[], None], ...]:
        return self.remove, self.remove_part

    def assert_begun_again(self, *ranges: str | None) -> None:
        self.reactor.pump([DISK_PAUSE] * 2)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual([headers.get("Range") for _, headers in self.asked], [*ranges])
        self.forget()

    def forget(self) -> None:
        self.downloader.discard(KEY)
        self.asked.clear()
        self.heard.events.clear()

    def test_before_the_first_byte(self) -> None:
        for remove in self.ways:
            self.start(whole(first=remove), whole())
            self.assertIsNone(self.heard.outcome)
            self.assert_begun_again(None, None)

    def test_before_an_empty_file(self) -> None:
        for remove in self.ways:
            self.start(Answer(length=0, first=remove), Answer(length=0))
            self.reactor.pump([DISK_PAUSE] * 2)
            self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
            self.forget()

    def removed_after(self, count: int, remove: Callable[[], None]) -> Answer:
        """An answer, after so many bytes of which somebody tidies up."""

        def chunks() -> Iterator[bytes]:
            yield CONTENT[:count]
            self.reactor.advance(FLUSH_DELAY)
            remove()
            for at in range(count, 10):
                yield CONTENT[at : at + 1]
                self.reactor.advance(FLUSH_DELAY)

        return replace(whole(), chunks=chunks())

    def test_in_the_middle(self) -> None:
        """The rest does not go to a file that nobody will find."""
        for remove in self.ways:
            with mock.patch.object(PartialFile, "commit") as commit:
                self.start(self.removed_after(4, remove), whole())
            commit.assert_not_called()
            self.assertIsNone(self.heard.outcome)
            self.assertEqual(self.heard.events[-1], ("progressed", 4, 10))
            self.assert_begun_again(None, None)

    def test_between_two_attempts(self) -> None:
        for remove in self.ways:
            self.start(broken(4), whole())
            remove()
            self.assert_begun_again(None, None)

    def test_before_it_is_verified(self) -> None:
        sha512 = hashlib.sha512(CONTENT).hexdigest()
        for remove in self.ways:
            self.start(self.removed_after(10, remove), whole(), sha512=sha512)
            self.assertIsNone(self.heard.outcome)
            self.assert_begun_again(None, None)

    def while_synced(self, remove: Callable[[], None]) -> AbstractContextManager[object]:
        sync = os.fdatasync

        def synced(descriptor: int) -> None:
            sync(descriptor)
            remove()

        return mock.patch("os.fdatasync", synced)

    def test_before_it_gets_its_name(self) -> None:
        for remove in self.ways:
            with self.while_synced(remove):
                self.start(whole(), whole(), sha256=SHA256)
            self.assertIsNone(self.heard.outcome)
            self.assert_begun_again(None, None)

    def test_when_it_has_its_name(self) -> None:
        def removed(_: Path) -> None:
            self.remove()
            raise FileNotFoundError(errno.ENOENT, "gone")

        with mock.patch("upparat.storage.part.sync_directory", removed):
            self.start(whole(), whole(), sha256=SHA256)
        self.assert_begun_again(None, None)

    def test_the_note_alone_is_not_missed(self) -> None:
        self.start(self.removed_after(4, self.files.note.unlink))
        self.assert_begun_again(None)

    def test_while_an_earlier_file_is_looked_at(self) -> None:
        self.start(whole())
        self.new()
        self.asked.clear()
        self.reactor.pool.held = []
        self.start(whole())
        self.remove()
        hashing, self.reactor.pool.held = self.reactor.pool.held, None
        hashing.pop()()
        self.assert_begun_again(None)

    def test_another_file_in_its_place(self) -> None:
        """It is not what was verified."""

        def replace_it() -> None:
            self.remove_part()
            self.files.part.write_bytes(b"another")

        with self.while_synced(replace_it):
            self.start(whole(), whole(), sha256=SHA256)
        self.assertFalse(self.files.complete.exists())
        self.assert_begun_again(None, None)

    def test_a_directory_of_others_in_its_place(self) -> None:
        other = Path(self.mktemp()).absolute()
        other.mkdir()

        def plant() -> None:
            self.remove()
            self.directory.symlink_to(other)

        self.start(whole(first=plant), whole(), whole())
        self.reactor.pump([DISK_PAUSE] * 3)
        assert self.heard.outcome is not None
        self.assertIn("is a symbolic link; mend it with: mv", self.heard.outcome[2])
        self.assertEqual(os.listdir(other), [])

    def test_not_without_end(self) -> None:
        self.start(*[whole(first=self.remove) for _ in range(4)])
        self.reactor.pump([DISK_PAUSE] * 4)
        reason = "the file cannot be stored: the file was removed"
        failed = ("download_failed", State.DOWNLOAD_FAILED, reason)
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.asked), DISK_ATTEMPTS)

    def test_not_without_end_between_attempts(self) -> None:
        self.start(*[broken(4) for _ in range(30)])
        while not self.heard.outcome:
            self.remove()
            self.reactor.advance(self.waits())
        self.assertEqual(self.heard.outcome[1], State.DOWNLOAD_FAILED)
        self.assertLess(len(self.asked), 20)


class VerificationTests(Bench):
    def test_one_damaged_part_is_forgiven(self) -> None:
        self.leave_part(b"xxxx")
        self.start(rest(4), whole(), sha256=SHA256)
        self.assertEqual(self.waits(), 1)
        self.reactor.advance(1)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_the_second_download_has_a_budget_of_its_own(self) -> None:
        """Bytes that a damaged file had before are new ones then."""
        self.leave_part(b"xxxx")
        headers = {"etag": '"e"'}
        pieces = [
            Answer(
                206,
                {**headers, "content-range": f"bytes {n}-9/10"},
                10 - n,
                [CONTENT[n : n + 1]],
                ConnectionError(),
            )
            for n in range(1, 10)
        ]
        self.start(rest(4), broken(1), *pieces, sha256=SHA256)
        for _ in range(10):
            self.assertEqual(self.waits(), 1)
            self.reactor.advance(1)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_wrong_file_is_not_fetched_a_third_time(self) -> None:
        self.start(whole(), whole(), whole(), sha256="0" * 64)
        self.reactor.advance(1)
        message = f"sha256: expected {'0' * 64}, got {SHA256}"
        failed = ("download_failed", State.VERIFICATION_FAILED, message)
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.asked), 2)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_short_file(self) -> None:
        for size in (9, 11):
            self.heard.events.clear()
            self.downloader.discard(self.start(whole(), whole(), size=size).key)
            self.start(whole(), whole(), size=size)
            self.reactor.advance(1)
            message = f"size: expected {size} bytes, the server has 10"
            failed = ("download_failed", State.VERIFICATION_FAILED, message)
            self.assertEqual(self.heard.outcome, failed)

    def test_sha512(self) -> None:
        sha512 = hashlib.sha512(CONTENT).hexdigest()
        self.start(whole(), sha512=sha512)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.downloader.discard(KEY)
        self.start(whole(), whole(), sha512="0" * 128)
        self.reactor.advance(1)
        message = f"sha512: expected {'0' * 128}, got {sha512}"
        failed = ("download_failed", State.VERIFICATION_FAILED, message)
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_part_of_another_boot_with_a_sha512_is_continued(self) -> None:
        self.leave_part(boot_id="another")
        self.start(rest(4), sha512=hashlib.sha512(CONTENT).hexdigest())
        self.assertEqual(self.asked[0][1]["Range"], "bytes=4-")
        self.assertEqual(self.heard.events[-1][0], "downloaded")


class TamperingTests(Bench):
    """Another program of the same user writes to the file."""

    def test_what_it_writes_is_not_accepted(self) -> None:
        for content in (CONTENT, CONTENT[::-1]):
            job, budget = make_job(URL, sha256=SHA256), Budget(KEY)
            work, store = BackgroundWork(self.reactor), Store(self.directory)  # type: ignore[arg-type]
            context = self.downloader._context
            destination = StoredDestination(context, work, job, budget, store)
            self.addCleanup(destination.close)
            self.successResultOf(Deferred.fromCoroutine(destination.open()))
            destination.partial.begin(Body(0, "", 10))
            self.successResultOf(destination.put(CONTENT))
            write_later(self.files.part, content)
            finished = Deferred.fromCoroutine(destination.finish())
            problem = self.failureResultOf(finished, FileMismatch).value
            self.assertEqual(str(problem), TAMPERED)
            self.assertFalse(self.files.complete.exists())
            self.downloader.discard(KEY)

    def test_once_is_forgiven(self) -> None:
        def chunks() -> Iterator[bytes]:
            yield CONTENT
            self.reactor.advance(FLUSH_DELAY)
            write_later(self.files.part, b"x")

        self.start(replace(whole(), chunks=chunks()), whole())
        self.assertIsNone(self.heard.outcome)
        self.reactor.advance(1)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)
        self.assertEqual([headers for _, headers in self.asked], [{}, {}])


class SignatureTests(Bench):
    """With a signature over the file itself."""

    def setUp(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.verify = VerifySettings(
            Require.SIGNATURE, (self.key.public_key(),), bind_version=False
        )
        super().setUp()

    def failure(self) -> object:
        """Why the verification failed, with nothing left behind."""
        outcome = self.heard.outcome
        assert outcome is not None
        self.assertEqual(outcome[:2], ("download_failed", State.VERIFICATION_FAILED))
        self.assertEqual(os.listdir(self.directory), [])
        return outcome[2]

    def test_good(self) -> None:
        self.start(whole(), signature=self.key.sign(CONTENT))
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_wrong_one_has_a_second_chance(self) -> None:
        self.start(whole(), whole(), signature=self.key.sign(b"other"))
        self.reactor.advance(1)
        self.assertEqual(self.failure(), "signature: no key of ours has made it")
        self.assertEqual(len(self.asked), 2)

    def test_a_wrong_one_for_what_is_surely_the_file_has_none(self) -> None:
        self.start(whole(), sha256=SHA256, signature=self.key.sign(b"other"))
        self.assertEqual(self.failure(), "signature: no key of ours has made it")

    def test_without_one_nothing_is_fetched(self) -> None:
        self.directory.mkdir()
        self.leave_part()
        self.start()
        self.assertEqual(self.failure(), "signature: is missing in the job document")
        self.assertEqual(self.asked, [])

    def test_a_complete_file_is_checked_again(self) -> None:
        """The owner may have changed the keys meanwhile."""
        signature = self.key.sign(CONTENT)
        self.start(whole(), signature=signature)
        other = ed25519.Ed25519PrivateKey.generate().public_key()
        self.verify = VerifySettings(Require.SIGNATURE, (other,), bind_version=False)
        self.new()
        self.start(whole(), whole(), signature=signature)
        self.reactor.advance(1)
        self.assertEqual(self.failure(), "signature: no key of ours has made it")

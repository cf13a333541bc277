"""What can go wrong on the way of the file, and what the fleet and the server see of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.updates import ALL_CALLS, STARTED, SUCCEEDED, Step, Updates
from tests.support.certs import make_certs
from tests.support.files import FOREVER, File, FileServer
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

SIZE = 100_000
HALF = SIZE // 2

EXPIRED = ("IN_PROGRESS", "download_interrupt", "HTTP 403 AccessDenied: Request has expired")
STOPPED = ("IN_PROGRESS", "download_interrupt", "The agent was stopped")
INSTALLED = SUCCEEDED[1:]
ASKED_AGAIN = ["version", "download", *ALL_CALLS[1:]]
"""The hooks of a download that another run of the agent has begun."""


def content(seed: int, size: int = SIZE) -> bytes:
    """Bytes in which every offset looks different: a wrong splice shows."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def firmware(files: FileServer) -> File:
    return files.add("/firmware-2.0.bin", content(1))


def ranges(file: File) -> list[str | None]:
    return [request.range for request in file.requests]


def failure(message: str, state: str = "download_failed") -> list[Step]:
    """The history of a job whose file is not to be had."""
    return [STARTED, ("FAILED", state, message)]


# --- URLs that expire ---


def test_a_url_that_expires_in_mid_download(updates: Updates) -> None:
    """The agent asks for the job again, and fetches what is missing with the fresh URL."""
    updates.file.cut(HALF)
    updates.file.expire()
    assert updates.run() == [STARTED, EXPIRED, *INSTALLED]
    assert ranges(updates.file) == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    first, refused, last = [request.query for request in updates.file.requests]
    assert first == refused != last
    assert "Signature=secret-" in last
    assert updates.installed == updates.file.content
    assert updates.hooks.names() == ALL_CALLS


def test_a_url_that_has_expired_before_the_first_byte(updates: Updates) -> None:
    updates.file.expire(times=2)
    assert updates.run() == [STARTED, EXPIRED, EXPIRED, *INSTALLED]
    assert len({request.query for request in updates.file.requests}) == 3
    assert updates.installed == updates.file.content


def test_a_file_that_nobody_may_read(updates: Updates) -> None:
    """Three fresh URLs that are refused are enough."""
    updates.file.expire(times=FOREVER)
    failed = ("FAILED", "download_failed", EXPIRED[2])
    updates.run()
    assert updates.cloud.history("job-1") == [STARTED, EXPIRED, EXPIRED, failed]
    assert len(updates.file.requests) == 3
    assert updates.hooks.names() == ["version", "download"]


# --- connections that break ---


@pytest.mark.parametrize("offset", [0, 1, HALF, SIZE - 1])
def test_a_connection_that_is_closed(offset: int, updates: Updates) -> None:
    """No byte is fetched twice."""
    updates.file.cut(offset)
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={offset}-" if offset else None]
    assert updates.installed == updates.file.content
    assert updates.hooks.names() == ALL_CALLS


@pytest.mark.parametrize("offset", [0, 1, HALF, SIZE - 1])
def test_a_connection_that_is_reset(offset: int, updates: Updates) -> None:
    """A reset may overtake bytes: those that did arrive are not fetched again."""
    updates.file.cut(offset, reset=True)
    assert updates.run() == SUCCEEDED
    first, second = ranges(updates.file)
    assert first is None
    assert int((second or "bytes=0-")[len("bytes=") : -1]) <= offset
    assert updates.installed == updates.file.content


def test_a_connection_that_breaks_again_and_again(updates: Updates) -> None:
    """Attempts count only while nothing comes: this is more often than ``max_attempts``."""
    updates.file.cut(SIZE // 5, times=4)
    updates.start(download={"max_attempts": 2})
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, *(f"bytes={SIZE // 5 * n}-" for n in (1, 2, 3, 4))]
    assert updates.installed == updates.file.content


def test_a_server_that_falls_silent(updates: Updates) -> None:
    updates.file.stall(HALF)
    updates.start(download={"idle_timeout": 0.5})
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == updates.file.content


def test_a_server_that_never_answers(updates: Updates) -> None:
    updates.file.stall(times=FOREVER)
    updates.start(download={"idle_timeout": 0.2, "max_attempts": 2})
    updates.run()
    assert updates.cloud.history("job-1") == failure("no answer for 0.2 s (2 attempts)")
    assert "install" not in updates.hooks.names()


# --- answers that differ ---


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_busy_for_a_moment(status: int, updates: Updates) -> None:
    updates.file.cut(HALF)
    updates.file.status(status, b"<Error><Code>ServiceUnavailable</Code></Error>")
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    assert updates.installed == updates.file.content


def test_a_server_that_stays_busy(updates: Updates) -> None:
    updates.file.status(503, times=FOREVER)
    updates.start(download={"max_attempts": 2})
    updates.run()
    assert updates.cloud.history("job-1") == failure("HTTP 503 Service Unavailable (2 attempts)")
    assert "install" not in updates.hooks.names()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b"<Error><Code>NoSuchKey</Code></Error>", "HTTP 404 NoSuchKey"),
        (404, b"", "HTTP 404 Not Found"),
        (410, b"", "HTTP 410 Gone"),
    ],
)
def test_a_file_that_is_not_there(status: int, body: bytes, message: str, updates: Updates) -> None:
    updates.file.status(status, body, times=FOREVER)
    updates.run()
    assert updates.cloud.history("job-1") == failure(message)
    assert len(updates.file.requests) == 1
    assert updates.hooks.names() == ["version", "download"]


def test_a_server_without_range(updates: Updates, files: FileServer) -> None:
    old_fashioned = files.add("/old-fashioned", content(1), ranges=False)
    old_fashioned.cut(HALF)
    updates.file, updates.starts_over = old_fashioned, True
    assert updates.run() == SUCCEEDED
    assert len(old_fashioned.requests) == 2
    assert updates.installed == old_fashioned.content


def test_a_server_that_ignores_range_once(updates: Updates) -> None:
    updates.file.cut(HALF)
    updates.file.ignore_range()
    updates.starts_over = True
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == updates.file.content


def test_a_server_that_sends_another_range(updates: Updates) -> None:
    updates.file.cut(HALF)
    updates.file.wrong_range(HALF - 7)
    updates.starts_over = True
    assert updates.run() == SUCCEEDED
    assert updates.installed == updates.file.content


def test_a_body_in_chunks(updates: Updates) -> None:
    updates.file.chunked()
    assert updates.run() == SUCCEEDED
    assert updates.installed == updates.file.content


@pytest.mark.parametrize("size", [SIZE, SIZE + 10, HALF - 10], ids=["same", "longer", "shorter"])
@pytest.mark.parametrize("honours", [True, False], ids=["if-match", "no if-match"])
def test_a_file_that_changes_between_two_attempts(
    size: int, honours: bool, updates: Updates
) -> None:
    """Old and new bytes are never spliced: the new file is installed, whole."""
    updates.file.honours_if_match = honours
    updates.file.cut(HALF)
    updates.file.change(content(2, size))
    updates.starts_over = True
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-", None]
    assert updates.installed == content(2, size)


def test_a_file_that_changes_where_only_its_digest_can_tell(
    updates: Updates, files: FileServer
) -> None:
    """No ETag and the same size: the splice is found out and everything fetched afresh."""
    bare = files.add("/bare", content(1), validators=False)
    bare.cut(HALF)
    bare.change(content(2))
    updates.file, updates.starts_over = bare, True
    assert updates.run(sha256=files.add("/new", content(2)).sha256) == SUCCEEDED
    assert ranges(bare) == [None, f"bytes={HALF}-", None]
    assert updates.installed == content(2)


# --- what the document says of the file ---


def test_a_file_that_is_what_the_document_says(updates: Updates) -> None:
    assert updates.run(sha256=updates.file.sha256.upper(), size=SIZE) == SUCCEEDED
    assert updates.installed == updates.file.content


def test_the_wrong_digest(updates: Updates) -> None:
    """What came may have been damaged on the way: it is fetched once more, and no oftener."""
    message = f"sha256: expected {'0' * 64}, got {updates.file.sha256}"
    updates.starts_over = True
    assert updates.run(sha256="0" * 64) == failure(message, "verification_failed")
    assert ranges(updates.file) == [None, None]
    assert updates.hooks.names() == ["version", "download"]


def test_the_wrong_size(updates: Updates) -> None:
    message = f"size: expected {SIZE - 1} bytes, the server has {SIZE}"
    assert updates.run(size=SIZE - 1) == failure(message, "verification_failed")
    assert updates.hooks.names() == ["version", "download"]


def test_a_truncated_body_of_unknown_length(updates: Updates) -> None:
    """It looks like a whole file; nothing can tell, so it is not installed."""
    updates.file.truncate(HALF)
    message = "the server tells no length: give size or a digest in the job document"
    assert updates.run() == failure(message)
    assert updates.hooks.names() == ["version", "download"]


def test_a_truncated_body_where_the_size_is_known(updates: Updates) -> None:
    updates.file.truncate(HALF)
    assert updates.run(size=SIZE) == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == updates.file.content


def test_a_truncated_body_where_the_digest_is_known(updates: Updates) -> None:
    updates.file.truncate(HALF)
    updates.starts_over = True
    assert updates.run(sha256=updates.file.sha256) == SUCCEEDED
    assert len(updates.file.requests) == 2
    assert updates.installed == updates.file.content


# --- which URLs are fetched ---


def test_plain_http_is_refused(updates: Updates) -> None:
    updates.start(download={"allow_http": "no"})
    message = (
        "file: plain http needs [download] allow_http, or a sha256 or sha512 in the job document"
    )
    updates.run()
    assert updates.cloud.history("job-1") == failure(message)
    assert updates.file.requests == []
    assert "install" not in updates.hooks.names()


def test_plain_http_with_a_digest_needs_no_permission(updates: Updates) -> None:
    updates.start(download={"allow_http": "no"})
    assert updates.run(sha256=updates.file.sha256) == SUCCEEDED
    assert updates.installed == updates.file.content


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_other_schemes_are_refused(url: str, updates: Updates) -> None:
    """Such a document can never work: REJECTED, which AWS does not try again."""
    message = "file: must be an https: or http: URL"
    updates.run(file=url)
    assert updates.cloud.history("job-1") == [("REJECTED", "invalid_job_document", message)]
    assert updates.hooks.names() == []


def test_a_redirect_is_followed(updates: Updates, files: FileServer) -> None:
    moved = files.add("/moved", b"")
    target, updates.file = updates.file, moved
    moved.redirect(target.signed_url)
    assert updates.run() == SUCCEEDED
    assert [request.query for request in target.requests] == [target.query]
    assert updates.installed == target.content


def test_a_redirect_to_another_scheme_is_refused(updates: Updates) -> None:
    updates.file.redirect("file:///etc/passwd", times=FOREVER)
    updates.run()
    assert updates.cloud.history("job-1") == failure("the server redirects from http to file")
    assert "install" not in updates.hooks.names()


def test_https(updates: Updates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cut, so that the second connection is one over TLS as well."""
    certs = make_certs(tmp_path / "certs")
    monkeypatch.setenv("SSL_CERT_FILE", certs.cafile)
    with FileServer((certs.server_cert, certs.server_key), "localhost") as server:
        updates.file = server.add("/secret", content(1))
        updates.file.cut(HALF)
        updates.start(download={"allow_http": "no"})
        assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == content(1)


def test_https_from_a_stranger(updates: Updates, tmp_path: Path) -> None:
    certs = make_certs(tmp_path / "certs")
    with FileServer((certs.server_cert, certs.server_key), "localhost") as server:
        updates.file = server.add("/secret", content(1))
        updates.start(download={"max_attempts": 2})
        updates.run()
    assert updates.cloud.history("job-1") == failure("TLS: certificate verify failed (2 attempts)")
    assert updates.file.requests == []
    assert "install" not in updates.hooks.names()


# --- the agent and its line, in mid-download ---


def test_stopped_in_mid_download(updates: Updates) -> None:
    device = updates.stand_still(HALF)
    assert device.stop() == 0
    assert updates.history() == [STARTED, STOPPED]
    device.start()
    assert updates.end() == [STARTED, STOPPED, STARTED, *INSTALLED]
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == updates.file.content
    assert updates.hooks.names() == ASKED_AGAIN


def test_killed_in_mid_download(updates: Updates) -> None:
    device = updates.stand_still(HALF)
    device.kill()
    device.start()
    assert updates.end() == [STARTED, STARTED, *INSTALLED]
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == updates.file.content
    assert updates.hooks.names() == ASKED_AGAIN


def test_the_file_changes_while_the_agent_is_away(updates: Updates) -> None:
    """The note beside the part tells what the part belongs to."""
    device = updates.stand_still(HALF)
    device.kill()
    updates.file.change(content(2))
    device.start()
    updates.starts_over = True
    assert updates.end() == [STARTED, STARTED, *INSTALLED]
    assert updates.installed == content(2)


def test_a_part_that_the_crash_has_damaged(updates: Updates) -> None:
    """A power cut can leave zeros; with a digest in the document they are found out."""
    device = updates.stand_still(HALF, sha256=updates.file.sha256)
    device.kill()
    [part] = device.directory.rglob("*.part")
    part.write_bytes(bytes(HALF))
    device.start()
    updates.starts_over = True
    assert updates.end() == [STARTED, STARTED, *INSTALLED]
    assert ranges(updates.file) == [None, f"bytes={HALF}-", None]
    assert updates.installed == updates.file.content


@pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill], ids=["stopped", "killed"])
def test_the_broker_restarts_in_mid_download(
    end: Callable[[Mosquitto], None], updates: Updates, broker: Mosquitto
) -> None:
    """The download goes on without it, and nothing runs twice."""
    device = updates.stand_still(HALF)
    end(broker)
    updates.file.release()
    wait_until(lambda: f"{SIZE} bytes are complete" in device.log)
    broker.start()
    assert updates.end() == SUCCEEDED
    assert ranges(updates.file) == [None]
    assert updates.installed == updates.file.content
    assert updates.hooks.names() == ALL_CALLS


def test_progress(updates: Updates) -> None:
    """In bytes, and the end is told as well."""
    updates.stand_still(HALF)
    updates.cloud.wait_for_state("job-1", "download_progress")
    updates.file.release()
    updates.cloud.wait_for_end("job-1")
    told: list[Any] = [
        step for step in updates.cloud.history("job-1") if step[1] == "download_progress"
    ]
    assert told[-1] == (
        "IN_PROGRESS",
        "download_progress",
        f'{{"downloaded_bytes": {SIZE}, "total_bytes": {SIZE}}}',
    )
    assert len(told) >= 2

"""What a fleet sees of a download: each way in which it can end, with the real agent.

What can go wrong on the way of a file is played by ``tests/integration/test_download.py``.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.updates import ALL_CALLS, STARTED, SUCCEEDED, Step, Updates
from tests.support.certs import make_certs
from tests.support.files import FOREVER, File, FileServer

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


def test_a_file_that_nobody_may_read(updates: Updates) -> None:
    """Three fresh URLs that are refused are enough."""
    updates.file.expire(times=FOREVER)
    failed = ("FAILED", "download_failed", EXPIRED[2])
    updates.run()
    assert updates.cloud.history("job-1") == [STARTED, EXPIRED, EXPIRED, failed]
    assert len(updates.file.requests) == 3
    assert updates.hooks.names() == ["version", "download"]


# --- connections that break ---


def test_a_connection_that_is_closed(updates: Updates) -> None:
    """No byte is fetched twice."""
    updates.file.cut(HALF)
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-"]
    assert updates.installed == updates.file.content
    assert updates.hooks.names() == ALL_CALLS


# --- answers that differ ---


def test_a_server_that_stays_busy(updates: Updates) -> None:
    updates.file.status(503, times=FOREVER)
    updates.start(download={"max_attempts": 2})
    updates.run()
    assert updates.cloud.history("job-1") == failure("HTTP 503 Service Unavailable (2 attempts)")
    assert "install" not in updates.hooks.names()


def test_a_file_that_is_not_there(updates: Updates) -> None:
    updates.file.status(404, b"<Error><Code>NoSuchKey</Code></Error>", times=FOREVER)
    updates.run()
    assert updates.cloud.history("job-1") == failure("HTTP 404 NoSuchKey")
    assert len(updates.file.requests) == 1
    assert updates.hooks.names() == ["version", "download"]


def test_a_file_that_changes_between_two_attempts(updates: Updates) -> None:
    """Old and new bytes are never spliced: the new file is installed, whole."""
    updates.file.cut(HALF)
    updates.file.change(content(2, SIZE + 10))
    updates.starts_over = True
    assert updates.run() == SUCCEEDED
    assert ranges(updates.file) == [None, f"bytes={HALF}-", None]
    assert updates.installed == content(2, SIZE + 10)


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


def test_other_schemes_are_refused(updates: Updates) -> None:
    """Such a document can never work: REJECTED, which AWS does not try again."""
    message = "file: must be an https: or http: URL"
    updates.run(file="file:///etc/passwd")
    assert updates.cloud.history("job-1") == [("REJECTED", "invalid_job_document", message)]
    assert updates.hooks.names() == []


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

"""What can go wrong on the way of the file, and what the fleet and the server see of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.agent import Agent
from tests.support.certs import make_certs
from tests.support.cloud import Cloud
from tests.support.files import FOREVER, File, FileServer
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import Hooks
from tests.support.waiting import PATIENCE, wait_until

SIZE = 100_000
HALF = SIZE // 2

START = ("IN_PROGRESS", "download_start", "none")
EXPIRED = ("IN_PROGRESS", "download_interrupt", "HTTP 403 AccessDenied: Request has expired")
STOPPED = ("IN_PROGRESS", "download_interrupt", "The agent was stopped")
INSTALLED = [
    ("IN_PROGRESS", "installation_start", "none"),
    ("IN_PROGRESS", "reboot_start", "none"),
    ("SUCCEEDED", "complete_soft_restart", "none"),
]
ALL_HOOKS = ["version", "download", "install", "restart", "version", "ready"]
ASKED_AGAIN = ["version", "download", *ALL_HOOKS[1:]]
"""The hooks of a download that another run of the agent has begun."""


def content(seed: int, size: int = SIZE) -> bytes:
    """Bytes in which every offset looks different: a wrong splice shows."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def firmware(files: FileServer) -> File:
    return files.add("/firmware-2.0.bin", content(1))


def ranges(file: File) -> list[str | None]:
    return [request.range for request in file.requests]


def without_progress(cloud: Cloud) -> list[tuple[str, str, str]]:
    """The history of a download that starts over, whose progress falls back."""
    return [step for step in cloud.history("job-1") if step[1] != "download_progress"]


def failure(message: str, state: str = "download_failed") -> list[tuple[str, str, str]]:
    """The history of a job whose file is not to be had."""
    return [START, ("FAILED", state, message)]


def update(cloud: Cloud, document: Mapping[str, object]) -> None:
    cloud.create_job("job-1", document)
    cloud.wait_for_end("job-1")


def half_way(device: Agent, cloud: Cloud, file: File) -> None:
    """Wait until the server is silent and half of the file is on the disk."""
    assert file.stalled.wait(PATIENCE)
    wait_until(lambda: [each.stat().st_size for each in device.directory.rglob("*.part")] == [HALF])
    cloud.wait_for_state("job-1", "download_start")


# --- URLs that expire ---


def test_a_url_that_expires_in_mid_download(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """The agent asks for the job again, and fetches what is missing with the fresh URL."""
    firmware.cut(HALF)
    firmware.expire()
    agent()
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, EXPIRED, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    first, refused, last = [request.query for request in firmware.requests]
    assert first == refused != last
    assert "Signature=secret-" in last
    assert hooks.installed_file.read_bytes() == firmware.content
    assert hooks.names() == ALL_HOOKS


def test_a_url_that_has_expired_before_the_first_byte(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.expire(times=2)
    agent()
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, EXPIRED, EXPIRED, *INSTALLED]
    assert len({request.query for request in firmware.requests}) == 3
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_file_that_nobody_may_read(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """Three fresh URLs that are refused are enough."""
    firmware.expire(times=FOREVER)
    agent()
    update(cloud, document(firmware))
    failed = ("FAILED", "download_failed", EXPIRED[2])
    assert cloud.history("job-1") == [START, EXPIRED, EXPIRED, failed]
    assert len(firmware.requests) == 3
    assert hooks.names() == ["version", "download"]


# --- connections that break ---


@pytest.mark.parametrize("offset", [0, 1, HALF, SIZE - 1])
def test_a_connection_that_is_closed(
    offset: int,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """No byte is fetched twice."""
    firmware.cut(offset)
    agent()
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={offset}-" if offset else None]
    assert hooks.installed_file.read_bytes() == firmware.content
    assert hooks.names() == ALL_HOOKS


@pytest.mark.parametrize("offset", [0, 1, HALF, SIZE - 1])
def test_a_connection_that_is_reset(
    offset: int,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """A reset may overtake bytes: those that did arrive are not fetched again."""
    firmware.cut(offset, reset=True)
    agent()
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    first, second = ranges(firmware)
    assert first is None
    assert int((second or "bytes=0-")[len("bytes=") : -1]) <= offset
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_connection_that_breaks_again_and_again(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """Attempts count only while nothing comes: this is more often than ``max_attempts``."""
    firmware.cut(SIZE // 5, times=4)
    agent(download={"max_attempts": 2})
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(firmware) == [None, *(f"bytes={SIZE // 5 * n}-" for n in (1, 2, 3, 4))]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_server_that_falls_silent(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.stall(HALF)
    agent(download={"idle_timeout": 0.5})
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_server_that_never_answers(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.stall(times=FOREVER)
    agent(download={"idle_timeout": 0.2, "max_attempts": 2})
    update(cloud, document(firmware))
    assert cloud.history("job-1") == failure("no answer for 0.2 s (2 attempts)")
    assert "install" not in hooks.names()


# --- answers that differ ---


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_busy_for_a_moment(
    status: int,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    firmware.cut(HALF)
    firmware.status(status, b"<Error><Code>ServiceUnavailable</Code></Error>")
    agent()
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_server_that_stays_busy(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.status(503, times=FOREVER)
    agent(download={"max_attempts": 2})
    update(cloud, document(firmware))
    assert cloud.history("job-1") == failure("HTTP 503 Service Unavailable (2 attempts)")
    assert "install" not in hooks.names()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b"<Error><Code>NoSuchKey</Code></Error>", "HTTP 404 NoSuchKey"),
        (404, b"", "HTTP 404 Not Found"),
        (410, b"", "HTTP 410 Gone"),
    ],
)
def test_a_file_that_is_not_there(
    status: int,
    body: bytes,
    message: str,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    firmware.status(status, body, times=FOREVER)
    agent()
    update(cloud, document(firmware))
    assert cloud.history("job-1") == failure(message)
    assert len(firmware.requests) == 1
    assert hooks.names() == ["version", "download"]


def test_a_server_without_range(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, files: FileServer, document: Documents
) -> None:
    old_fashioned = files.add("/old-fashioned", content(1), ranges=False)
    old_fashioned.cut(HALF)
    agent()
    update(cloud, document(old_fashioned))
    assert without_progress(cloud) == [START, *INSTALLED]
    assert len(old_fashioned.requests) == 2
    assert hooks.installed_file.read_bytes() == old_fashioned.content


def test_a_server_that_ignores_range_once(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.cut(HALF)
    firmware.ignore_range()
    agent()
    update(cloud, document(firmware))
    assert without_progress(cloud) == [START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_server_that_sends_another_range(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.cut(HALF)
    firmware.wrong_range(HALF - 7)
    agent()
    update(cloud, document(firmware))
    assert without_progress(cloud) == [START, *INSTALLED]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_body_in_chunks(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.chunked()
    agent()
    update(cloud, document(firmware))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert hooks.installed_file.read_bytes() == firmware.content


@pytest.mark.parametrize("size", [SIZE, SIZE + 10, HALF - 10], ids=["same", "longer", "shorter"])
@pytest.mark.parametrize("honours", [True, False], ids=["if-match", "no if-match"])
def test_a_file_that_changes_between_two_attempts(
    size: int,
    honours: bool,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """Old and new bytes are never spliced: the new file is installed, whole."""
    firmware.honours_if_match = honours
    firmware.cut(HALF)
    firmware.change(content(2, size))
    agent()
    update(cloud, document(firmware))
    assert without_progress(cloud) == [START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-", None]
    assert hooks.installed_file.read_bytes() == content(2, size)


def test_a_file_that_changes_where_only_its_digest_can_tell(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, files: FileServer, document: Documents
) -> None:
    """No ETag and the same size: the splice is found out and everything fetched afresh."""
    bare = files.add("/bare", content(1), validators=False)
    job = document(bare, sha256=files.add("/new", content(2)).sha256)
    bare.cut(HALF)
    bare.change(content(2))
    agent()
    update(cloud, job)
    assert without_progress(cloud) == [START, *INSTALLED]
    assert ranges(bare) == [None, f"bytes={HALF}-", None]
    assert hooks.installed_file.read_bytes() == content(2)


# --- what the document says of the file ---


def test_a_file_that_is_what_the_document_says(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    agent()
    update(cloud, document(firmware, sha256=firmware.sha256.upper(), size=SIZE))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_the_wrong_digest(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """What came may have been damaged on the way: it is fetched once more, and no oftener."""
    agent()
    update(cloud, document(firmware, sha256="0" * 64))
    message = f"sha256: expected {'0' * 64}, got {firmware.sha256}"
    assert without_progress(cloud) == failure(message, "verification_failed")
    assert ranges(firmware) == [None, None]
    assert hooks.names() == ["version", "download"]


def test_the_wrong_size(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    agent()
    update(cloud, document(firmware, size=SIZE - 1))
    message = f"size: expected {SIZE - 1} bytes, the server has {SIZE}"
    assert without_progress(cloud) == failure(message, "verification_failed")
    assert hooks.names() == ["version", "download"]


def test_a_truncated_body_of_unknown_length(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """It looks like a whole file; nothing can tell, so it is not installed."""
    firmware.truncate(HALF)
    agent()
    update(cloud, document(firmware))
    message = "the server tells no length: give size or a digest in the job document"
    assert without_progress(cloud) == failure(message)
    assert hooks.names() == ["version", "download"]


def test_a_truncated_body_where_the_size_is_known(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.truncate(HALF)
    agent()
    update(cloud, document(firmware, size=SIZE))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_truncated_body_where_the_digest_is_known(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.truncate(HALF)
    agent()
    update(cloud, document(firmware, sha256=firmware.sha256))
    assert without_progress(cloud) == [START, *INSTALLED]
    assert len(firmware.requests) == 2
    assert hooks.installed_file.read_bytes() == firmware.content


# --- which URLs are fetched ---


def test_plain_http_is_refused(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    agent(download={"allow_http": "no"})
    update(cloud, document(firmware))
    message = (
        "file: plain http needs [download] allow_http, or a sha256 or sha512 in the job document"
    )
    assert cloud.history("job-1") == failure(message)
    assert firmware.requests == []
    assert "install" not in hooks.names()


def test_plain_http_with_a_digest_needs_no_permission(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    agent(download={"allow_http": "no"})
    update(cloud, document(firmware, sha256=firmware.sha256))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert hooks.installed_file.read_bytes() == firmware.content


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_other_schemes_are_refused(
    url: str,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """Such a document can never work: REJECTED, which AWS does not try again."""
    agent()
    update(cloud, {**document(firmware), "file": url})
    message = "file: must be an https: or http: URL"
    assert cloud.history("job-1") == [("REJECTED", "invalid_job_document", message)]
    assert hooks.names() == []


def test_a_redirect_is_followed(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    files: FileServer,
    firmware: File,
    document: Documents,
) -> None:
    moved = files.add("/moved", b"")
    moved.redirect(firmware.signed_url)
    agent()
    update(cloud, document(moved))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert [request.query for request in firmware.requests] == [firmware.query]
    assert hooks.installed_file.read_bytes() == firmware.content


def test_a_redirect_to_another_scheme_is_refused(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.redirect("file:///etc/passwd", times=FOREVER)
    agent()
    update(cloud, document(firmware))
    assert cloud.history("job-1") == failure("the server redirects from http to file")
    assert "install" not in hooks.names()


def test_https(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    document: Documents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a cut, so that the second connection is one over TLS as well."""
    certs = make_certs(tmp_path / "certs")
    monkeypatch.setenv("SSL_CERT_FILE", certs.cafile)
    with FileServer((certs.server_cert, certs.server_key), "localhost") as server:
        secret = server.add("/secret", content(1))
        secret.cut(HALF)
        agent(download={"allow_http": "no"})
        update(cloud, document(secret))
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(secret) == [None, f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == content(1)


def test_https_from_a_stranger(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, document: Documents, tmp_path: Path
) -> None:
    certs = make_certs(tmp_path / "certs")
    with FileServer((certs.server_cert, certs.server_key), "localhost") as server:
        stranger = server.add("/secret", content(1))
        agent(download={"max_attempts": 2})
        update(cloud, document(stranger))
    assert cloud.history("job-1") == failure("TLS: certificate verify failed (2 attempts)")
    assert stranger.requests == []
    assert "install" not in hooks.names()


# --- the agent and its line, in mid-download ---


def test_stopped_in_mid_download(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.stall(HALF)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    half_way(device, cloud, firmware)
    assert device.stop() == 0
    assert steps(cloud.history("job-1")) == [START, STOPPED]
    device.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [START, STOPPED, START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == firmware.content
    assert hooks.names() == ASKED_AGAIN


def test_killed_in_mid_download(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    firmware.stall(HALF)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    half_way(device, cloud, firmware)
    device.kill()
    device.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [START, START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-"]
    assert hooks.installed_file.read_bytes() == firmware.content
    assert hooks.names() == ASKED_AGAIN


def test_the_file_changes_while_the_agent_is_away(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """The note beside the part tells what the part belongs to."""
    firmware.stall(HALF)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    half_way(device, cloud, firmware)
    device.kill()
    firmware.change(content(2))
    device.start()
    cloud.wait_for_end("job-1")
    assert without_progress(cloud) == [START, START, *INSTALLED]
    assert hooks.installed_file.read_bytes() == content(2)


def test_a_part_that_the_crash_has_damaged(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """A power cut can leave zeros; with a digest in the document they are found out."""
    firmware.stall(HALF)
    device = agent()
    cloud.create_job("job-1", document(firmware, sha256=firmware.sha256))
    half_way(device, cloud, firmware)
    device.kill()
    [part] = device.directory.rglob("*.part")
    part.write_bytes(bytes(HALF))
    device.start()
    cloud.wait_for_end("job-1")
    assert without_progress(cloud) == [START, START, *INSTALLED]
    assert ranges(firmware) == [None, f"bytes={HALF}-", None]
    assert hooks.installed_file.read_bytes() == firmware.content


@pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill], ids=["stopped", "killed"])
def test_the_broker_restarts_in_mid_download(
    end: Callable[[Mosquitto], None],
    agent: AgentFactory,
    broker: Mosquitto,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """The download goes on without it, and nothing runs twice."""
    firmware.stall(HALF)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    half_way(device, cloud, firmware)
    end(broker)
    firmware.release()
    wait_until(lambda: f"{SIZE} bytes are complete" in device.log)
    broker.start()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [START, *INSTALLED]
    assert ranges(firmware) == [None]
    assert hooks.installed_file.read_bytes() == firmware.content
    assert hooks.names() == ALL_HOOKS


def test_progress(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """In bytes, and the end is told as well."""
    firmware.stall(HALF)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    half_way(device, cloud, firmware)
    cloud.wait_for_state("job-1", "download_progress")
    firmware.release()
    cloud.wait_for_end("job-1")
    told: list[Any] = [step for step in cloud.history("job-1") if step[1] == "download_progress"]
    assert told[-1] == (
        "IN_PROGRESS",
        "download_progress",
        f'{{"downloaded_bytes": {SIZE}, "total_bytes": {SIZE}}}',
    )
    assert len(told) >= 2

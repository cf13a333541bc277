"""The downloader against a real server that misbehaves, over real sockets."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent

from tests.support.certs import Authority, Certs, make_certs
from tests.support.downloads import KEY, make_job
from tests.support.fetcher import CONTENT, SETTINGS, clean_log, fetching
from tests.support.files import EXPIRED, FOREVER, File, FileServer
from tests.support.nginx import Nginx, requires_nginx
from tests.support.ports import key
from tests.support.rawbroker import Peer, RawBroker
from tests.support.reactor import reactor, until
from tests.support.waiting import wait_until
from upparat.download import http as download_http
from upparat.download import rate, transfer
from upparat.download.client import Client
from upparat.job import State
from upparat.linux import read_boot_id
from upparat.storage.directory import Note, Store
from upparat.storage.part import PartialFile

IMPATIENT = replace(SETTINGS, idle_timeout=1.0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def file(server: FileServer) -> File:
    return server.add("/a/firmware.bin", CONTENT)


@pytest.fixture(autouse=True)
def log() -> Iterator[list[LogEvent]]:
    with clean_log() as events:
        yield events


def resumed_at(file: File) -> list[str | None]:
    """The ranges that were asked for; each with If-Match, if there was anything to match."""
    for request in file.requests:
        assert (request.if_match is None) == (request.range is None)
    return [request.range for request in file.requests]


# --- the good case --------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_file_arrives_byte_for_byte(file: File, directory: Path) -> None:
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.signed_url, size=len(CONTENT), sha256=file.sha256))
    (request,) = file.requests
    assert (request.method, request.query) == ("GET", file.query)
    assert request.headers["accept-encoding"] == "identity"
    assert not {"range", "if-match", "cookie"} & set(request.headers)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "job").stat().st_mode & 0o777 == 0o600


@pytest_twisted.ensureDeferred
async def test_the_client_is_imported_in_a_thread(
    file: File, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take a slow device a second, in which MQTT, hooks and the watchdog go on."""
    threads: list[int] = []
    load = Client.load

    def loaded(client: Client) -> None:
        threads.append(threading.get_ident())
        load(client)

    monkeypatch.setattr(Client, "load", loaded)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert threads
    assert threading.get_ident() not in threads


@pytest_twisted.ensureDeferred
async def test_the_signed_url_goes_out_as_it_is(server: FileServer, directory: Path) -> None:
    path = "/a%2Fb/~x*(1)'%7E;v=1,@|[]/%c3%a4"
    query = (
        "X-Amz-Credential=A%2F20260101%2Feu&s=a+b%20c/d~e:f;g,%5e&X-Amz-Security-Token=%2f%2B==&x="
    )
    file = server.add(path, CONTENT)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(f"{file.url}?{query}"))
    assert [(request.path, request.query) for request in file.requests] == [(path, query)]


@pytest_twisted.ensureDeferred
async def test_an_empty_file_is_a_file(server: FileServer, directory: Path) -> None:
    file = server.add("/empty", b"")
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url), b"")


@pytest_twisted.ensureDeferred
async def test_a_stored_content_encoding_is_not_undone(server: FileServer, directory: Path) -> None:
    file = server.add("/f", b"x")
    file.status(200, CONTENT, {"Content-Encoding": "gzip"})
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))


@pytest_twisted.ensureDeferred
async def test_a_body_in_chunks_needs_no_length(file: File, directory: Path) -> None:
    file.chunked()
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))


@pytest_twisted.ensureDeferred
async def test_the_complete_file_of_this_execution_is_used_at_once(
    file: File, directory: Path
) -> None:
    job = make_job(file.url, sha256=file.sha256)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(job)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(job)
    assert len(file.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_damaged_complete_file_is_not_used(file: File, directory: Path) -> None:
    job = make_job(file.url)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(job)
        (directory / "job").write_bytes(bytes(len(CONTENT)))
        await fetcher.fetch_well(job)
    assert len(file.requests) == 2


@pytest_twisted.ensureDeferred
async def test_the_complete_file_of_another_execution_is_not_used(
    file: File, directory: Path
) -> None:
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
        await fetcher.fetch_well(make_job(file.url, KEY._replace(number=2)))
    assert len(file.requests) == 2


# --- verification ---------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_wrong_digest_fails_after_a_second_whole_download(
    file: File, directory: Path
) -> None:
    wrong = "0" * 64
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.url, sha256=wrong))
    assert state is State.VERIFICATION_FAILED
    assert message == f"sha256: expected {wrong}, got {file.sha256}"
    assert resumed_at(file) == [None, None]
    assert os.listdir(directory) == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("size", [1, len(CONTENT) - 1, len(CONTENT) + 1])
async def test_a_wrong_size_fails(file: File, directory: Path, size: int) -> None:
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.url, size=size))
    assert state is State.VERIFICATION_FAILED
    assert message == f"size: expected {size} bytes, the server has {len(CONTENT)}"
    assert len(file.requests) == 2


@pytest_twisted.ensureDeferred
async def test_more_chunks_than_the_size_fail(file: File, directory: Path) -> None:
    file.chunked(FOREVER)
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.url, size=1000))
    assert state is State.VERIFICATION_FAILED
    assert message == "size: expected 1000 bytes, the server sends more"


@pytest_twisted.ensureDeferred
async def test_a_spliced_part_is_fetched_afresh(file: File, directory: Path) -> None:
    job = make_job(file.url, sha256=file.sha256)
    async with fetching(directory) as fetcher:
        file.stall(1000)
        fetcher.downloader.start(job)
        await until(lambda: fetcher.heard.events)
        fetcher.downloader.stop()
    (part,) = directory.glob("*.part")
    part.write_bytes(bytes(1000))
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(job)
    assert resumed_at(file) == [None, "bytes=1000-", None]


# --- resuming -------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("offset", [0, 1, len(CONTENT) // 2, len(CONTENT) - 1])
async def test_a_cut_connection_is_resumed(file: File, directory: Path, offset: int) -> None:
    file.cut(offset)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert resumed_at(file) == [None, f"bytes={offset}-" if offset else None]
    if offset:
        assert file.requests[-1].if_match == file.etag


@pytest_twisted.ensureDeferred
async def test_a_reset_connection_is_resumed(file: File, directory: Path) -> None:
    file.cut(70000, reset=True)
    file.cut(50000, reset=True)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert len(file.requests) == 3


@pytest_twisted.ensureDeferred
async def test_new_bytes_renew_the_budget(file: File, directory: Path) -> None:
    file.cut(20000, times=9)
    async with fetching(directory, replace(SETTINGS, max_attempts=1)) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert len(file.requests) == 10


@pytest_twisted.ensureDeferred
async def test_a_server_that_ignores_range_sends_all_again(file: File, directory: Path) -> None:
    file.cut(1000)
    file.ignore_range()
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert resumed_at(file) == [None, "bytes=1000-"]


@pytest_twisted.ensureDeferred
async def test_a_file_that_changed_is_fetched_anew(file: File, directory: Path) -> None:
    other = CONTENT[::-1]
    file.cut(1000)
    file.change(other)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url), other)
    assert resumed_at(file) == [None, "bytes=1000-", None]  # the second one got 412


@pytest_twisted.ensureDeferred
async def test_a_changed_etag_is_seen_without_if_match(file: File, directory: Path) -> None:
    other = CONTENT[::-1]
    file.honours_if_match = False
    file.cut(1000)
    file.change(other)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url), other)
    assert resumed_at(file) == [None, "bytes=1000-", None]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("honoured", [True, False])
async def test_with_a_digest_servers_need_not_agree_on_an_etag(
    file: File, directory: Path, honoured: bool
) -> None:
    file.servers = 2
    file.honours_if_match = honoured
    file.cut(20000, times=6)
    async with fetching(directory, replace(SETTINGS, max_attempts=1)) as fetcher:
        await fetcher.fetch_well(make_job(file.url, sha256=file.sha256))
    first, second, third, *others = file.requests
    assert (first.range, second.range, third.range) == (None, *["bytes=20000-"] * 2)
    assert second.if_match
    assert not any(request.if_match for request in (third, *others))
    assert all(request.range for request in others)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("other", [CONTENT[::-1] + b"more", CONTENT[:5000]])
async def test_a_changed_size_is_seen_without_etag(
    server: FileServer, directory: Path, other: bytes
) -> None:
    file = server.add("/f", CONTENT, validators=False)
    file.cut(1000)
    file.change(other)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(
            make_job(file.url, sha256=hashlib.sha256(other).hexdigest()), other
        )
    assert [request.range for request in file.requests] == [None, "bytes=1000-", None]


@pytest_twisted.ensureDeferred
async def test_without_etag_a_digest_is_enough_to_resume(
    server: FileServer, directory: Path
) -> None:
    file = server.add("/f", CONTENT, validators=False)
    file.cut(1000)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url, sha256=file.sha256))
    assert [request.range for request in file.requests] == [None, "bytes=1000-"]


@pytest_twisted.ensureDeferred
async def test_without_etag_and_digest_nothing_tells_two_files_apart(
    server: FileServer, directory: Path
) -> None:
    """Another file of the same size must not be spliced."""
    other = CONTENT[::-1]
    file = server.add("/f", CONTENT, validators=False)
    file.cut(1000)
    file.change(other)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url), other)
    assert [request.range for request in file.requests] == [None, None]


@pytest_twisted.ensureDeferred
async def test_a_range_that_starts_elsewhere_is_not_taken(file: File, directory: Path) -> None:
    file.cut(1000)
    file.wrong_range(900)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert resumed_at(file) == [None, "bytes=1000-", None]


@pytest_twisted.ensureDeferred
async def test_416_for_a_complete_part_ends_well(file: File, directory: Path) -> None:
    """Without a size, only the server knows that everything is here."""
    directory.mkdir()
    files = Store(directory).files(KEY)
    files.part.write_bytes(CONTENT)
    files.write_note(Note(path="/a/firmware.bin", etag=file.etag, boot_id=read_boot_id()))
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert resumed_at(file) == [f"bytes={len(CONTENT)}-"]


@pytest_twisted.ensureDeferred
async def test_416_for_a_file_that_shrank_starts_over(server: FileServer, directory: Path) -> None:
    file = server.add("/f", CONTENT)
    file.honours_if_match = False
    file.cut(6000)
    file.change(CONTENT[:5000])
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url), CONTENT[:5000])
    assert resumed_at(file) == [None, "bytes=6000-", None]


@pytest_twisted.ensureDeferred
async def test_a_truncated_body_is_detected_by_its_length(file: File, directory: Path) -> None:
    file.truncate(3000)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url, size=len(CONTENT)))
    assert resumed_at(file)[1:] == ["bytes=3000-"]


@pytest_twisted.ensureDeferred
async def test_a_body_of_unknown_length_is_not_believed(file: File, directory: Path) -> None:
    file.truncate(3000)
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.url))
    assert state is State.DOWNLOAD_FAILED
    assert message == "the server tells no length: give size or a digest in the job document"


@pytest_twisted.ensureDeferred
async def test_a_body_of_unknown_length_is_believed_by_its_digest(
    file: File, directory: Path
) -> None:
    file.truncate(len(CONTENT))
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url, sha256=file.sha256))


# --- stopping and starting again ------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_stop_is_silent_and_keeps_the_part_for_the_next_agent(
    file: File, directory: Path
) -> None:
    file.stall(100000)
    async with fetching(directory) as fetcher:
        fetcher.downloader.start(make_job(file.signed_url))
        (part,) = directory.glob("*.part")
        await until(lambda: part.stat().st_size == 100000)
        fetcher.downloader.stop()
        told = len(fetcher.heard.events)
        file.release()
        await deferLater(reactor, 0)
        await deferLater(reactor, 0)
        assert len(fetcher.heard.events) == told
    assert fetcher.heard.outcome is None
    assert part.stat().st_size == 100000

    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(f"{file.url}?another=signature", sha256=file.sha256))
    assert resumed_at(file) == [None, "bytes=100000-"]


@pytest_twisted.ensureDeferred
async def test_a_part_of_another_execution_is_not_continued(file: File, directory: Path) -> None:
    file.stall(1000)
    async with fetching(directory) as fetcher:
        fetcher.downloader.start(make_job(file.url))
        await until(lambda: fetcher.heard.events)
        later = KEY._replace(queued_at=KEY.queued_at + 1)
        await fetcher.fetch_well(make_job(file.url, later))
    assert resumed_at(file) == [None, None]


@pytest_twisted.ensureDeferred
async def test_a_start_for_another_job_stops_the_first(
    server: FileServer, file: File, directory: Path
) -> None:
    other = server.add("/other", b"other")
    file.stall(1000)
    async with fetching(directory) as fetcher:
        fetcher.downloader.start(make_job(file.url))
        await until(lambda: fetcher.heard.events)
        await fetcher.fetch_well(make_job(other.url, KEY._replace(job_id="two")), b"other")
    assert (directory / "two").read_bytes() == b"other"


@pytest_twisted.ensureDeferred
async def test_discard_in_the_middle_leaves_nothing(file: File, directory: Path) -> None:
    file.stall(1000)
    job = make_job(file.url)
    async with fetching(directory) as fetcher:
        fetcher.downloader.start(job)
        await until(lambda: fetcher.heard.events)
        fetcher.downloader.discard(job.key)
    assert os.listdir(directory) == []
    assert fetcher.heard.outcome is None


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("event", ["progressed", "downloaded"])
async def test_a_listener_may_stop_it_from_within_an_event(
    file: File, directory: Path, event: str
) -> None:
    job = make_job(file.url)
    async with fetching(directory) as fetcher:

        def discard(name: str) -> None:
            if name == event:
                fetcher.downloader.discard(job.key)

        fetcher.heard.also = discard
        fetcher.downloader.start(job)
        await until(lambda: fetcher.heard.events and fetcher.heard.events[-1][0] == event)
        await deferLater(reactor, 0)
        assert fetcher.heard.events[-1][0] == event
    assert os.listdir(directory) == []


# --- refusals and failures ------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_an_expired_url_asks_for_a_fresh_one_and_goes_on(file: File, directory: Path) -> None:
    file.cut(1000)
    file.expire()
    async with fetching(directory) as fetcher:
        outcome = await fetcher.fetch(make_job(file.signed_url))
        assert outcome == ("url_expired", "HTTP 403 AccessDenied: Request has expired")
        await fetcher.fetch_well(make_job(f"{file.url}?fresh"))
    assert resumed_at(file) == [None, "bytes=1000-", "bytes=1000-"]
    assert [request.query for request in file.requests][-1] == "fresh"


@pytest_twisted.ensureDeferred
async def test_a_url_that_is_refused_for_ever_fails(file: File, directory: Path) -> None:
    file.expire(FOREVER)
    async with fetching(directory) as fetcher:
        job = make_job(file.signed_url)
        assert [(await fetcher.fetch(job))[0] for _ in range(2)] == ["url_expired"] * 2
        assert await fetcher.fail(job) == (
            State.DOWNLOAD_FAILED,
            "HTTP 403 AccessDenied: Request has expired",
        )


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b"<Error><Code>ExpiredToken</Code></Error>", "HTTP 400 ExpiredToken"),
        (401, b"", "HTTP 401 Unauthorized"),
        (403, b"x" * 100000, "HTTP 403 Forbidden"),
    ],
)
async def test_other_refusals_of_the_url(
    file: File, directory: Path, status: int, body: bytes, reason: str
) -> None:
    file.status(status, body)
    async with fetching(directory) as fetcher:
        assert await fetcher.fetch(make_job(file.url)) == ("url_expired", reason)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, b"<Error><Code>NoSuchKey</Code></Error>", "HTTP 404 NoSuchKey"),
        (410, b"", "HTTP 410 Gone"),
        (400, b"<Error><Code>InvalidRequest</Code></Error>", "HTTP 400 InvalidRequest"),
        (304, b"", "HTTP 304 Not Modified"),
        (412, b"", "HTTP 412 Precondition Failed"),
    ],
)
async def test_final_answers(
    file: File, directory: Path, status: int, body: bytes, reason: str
) -> None:
    file.status(status, body)
    async with fetching(directory) as fetcher:
        assert await fetcher.fail(make_job(file.url)) == (State.DOWNLOAD_FAILED, reason)
    assert len(file.requests) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("status", [500, 503, 408, 429, 204, 206])
async def test_passing_trouble_is_waited_out(file: File, directory: Path, status: int) -> None:
    file.status(status)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert len(file.requests) == 2


@pytest_twisted.ensureDeferred
async def test_nothing_is_retried_for_ever(file: File, directory: Path) -> None:
    file.status(503, b"<Error><Code>ServiceUnavailable</Code></Error>", times=FOREVER)
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.url))
    assert (state, message) == (State.DOWNLOAD_FAILED, "HTTP 503 ServiceUnavailable (5 attempts)")
    assert len(file.requests) == 5


@pytest_twisted.ensureDeferred
async def test_whole_files_that_never_arrive_are_no_progress(
    server: FileServer, directory: Path
) -> None:
    """Without ranges each attempt brings bytes, but none that was not there before."""
    file = server.add("/f", CONTENT, ranges=False)
    file.cut(1000, times=FOREVER)
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.url))
    assert state is State.DOWNLOAD_FAILED
    assert message == f"Connection was closed cleanly at 1000 of {len(CONTENT)} bytes (5 attempts)"
    assert len(file.requests) == 6


@pytest_twisted.ensureDeferred
async def test_nobody_listens(server: FileServer, directory: Path) -> None:
    url = server.add("/f", CONTENT).signed_url
    server.stop()
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(url))
    assert state is State.DOWNLOAD_FAILED
    assert re.fullmatch(r"Connection was refused .*\(5 attempts\)", message)


@pytest_twisted.ensureDeferred
async def test_silence_in_the_body_is_resumed(file: File, directory: Path) -> None:
    file.stall(1000)
    async with fetching(directory, IMPATIENT) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert resumed_at(file) == [None, "bytes=1000-"]


@pytest_twisted.ensureDeferred
async def test_slowness_is_no_silence(file: File, directory: Path) -> None:
    """All of it takes longer than the silence that is admitted."""
    file.slow(len(CONTENT) / 1.5)
    async with fetching(directory, IMPATIENT) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert len(file.requests) == 1


@pytest_twisted.ensureDeferred
async def test_slowness_uses_up_the_attempts(
    file: File, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each attempt brings new bytes."""
    monkeypatch.setattr(rate, "MIN_RATE_WINDOW", 0.5)
    file.slow(1000, times=FOREVER)
    async with fetching(
        directory, replace(SETTINGS, max_attempts=2, min_rate=20_000, idle_timeout=0.5)
    ) as fetcher:
        state, message = await fetcher.fail(make_job(file.url))
    assert state is State.DOWNLOAD_FAILED
    assert re.fullmatch(
        r"slower than 20000 bytes/s for \S+ s at \d+ of \d+ bytes .2 attempts.", message
    )
    first, second = (request.range for request in file.requests)
    assert first is None
    assert second is not None


@pytest_twisted.ensureDeferred
async def test_silence_before_the_head_is_retried(
    file: File, directory: Path, log: list[LogEvent]
) -> None:
    file.stall()
    async with fetching(directory, IMPATIENT) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert any("no answer for 1 s" in formatEvent(event) for event in log)


@pytest_twisted.ensureDeferred
async def test_silence_uses_up_the_attempts(file: File, directory: Path) -> None:
    file.stall()
    impatient = replace(SETTINGS, max_attempts=1, idle_timeout=0.3)
    async with fetching(directory, impatient) as fetcher:
        _, message = await fetcher.fail(make_job(file.url))
    assert message == "no answer for 0.3 s (1 attempts)"
    assert len(file.requests) == 1


@pytest_twisted.ensureDeferred
async def test_stop_before_the_head(file: File, directory: Path) -> None:
    file.stall()
    async with fetching(directory) as fetcher:
        fetcher.downloader.start(make_job(file.url))
        await until(lambda: file.requests)
    assert fetcher.heard.events == []


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 Fine\r\nContent-", b"nonsense\r\n\r\n"])
@pytest_twisted.ensureDeferred
async def test_half_a_head_is_retried(directory: Path, head: bytes) -> None:
    fine = b"HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n%s" % (len(CONTENT), CONTENT)
    heads = [head, fine]

    def script(peer: Peer) -> None:
        peer.connection.recv(65536)
        peer.connection.sendall(heads.pop(0))

    with RawBroker(script) as broker:
        async with fetching(directory) as fetcher:
            await fetcher.fetch_well(make_job(f"http://127.0.0.1:{broker.port}/f"))
        assert len(broker.peers) == 2


@pytest_twisted.ensureDeferred
async def test_no_connection_is_left_after_the_end(
    server: FileServer, file: File, directory: Path
) -> None:
    before = set(reactor.getReaders()), set(reactor.getDelayedCalls())
    gone = server.add("/gone", b"")
    gone.status(410, b"<p>gone")
    async with fetching(directory) as fetcher:
        for job in (make_job(file.url), make_job(gone.url, key("gone"))):
            await fetcher.fetch(job)
            await until(lambda: set(reactor.getReaders()) == before[0])
            await until(lambda: set(reactor.getDelayedCalls()) <= before[1])


@pytest_twisted.ensureDeferred
async def test_silence_in_an_error_body_keeps_the_status(file: File, directory: Path) -> None:
    file.status(403, EXPIRED, hang=True)
    async with fetching(directory, IMPATIENT) as fetcher:
        outcome = await fetcher.fetch(make_job(file.url))
    assert outcome == ("url_expired", "HTTP 403 AccessDenied: Request has expired")


@pytest_twisted.ensureDeferred
async def test_an_error_body_that_drips_keeps_the_status(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a time for all of it, however little comes at a time."""
    monkeypatch.setattr(download_http, "ASKED_WHY", 0.3)

    def drip(peer: Peer) -> None:
        peer.connection.recv(65536)
        peer.send(b"HTTP/1.1 404 No\r\nContent-Length: 4096\r\n\r\n")
        while True:
            peer.send(b".")
            time.sleep(0.05)

    with RawBroker(drip) as server:
        async with fetching(directory) as fetcher:
            failed = await fetcher.fail(make_job(f"http://127.0.0.1:{server.port}/f"))
    assert failed == (State.DOWNLOAD_FAILED, "HTTP 404 Not Found")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("status", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Go\r\n", b""])
async def test_a_head_without_end(directory: Path, status: bytes) -> None:
    """It must not fill the memory. Without a status it is one line without end."""
    sent = []

    def go_on(peer: Peer) -> None:
        peer.connection.recv(65536)
        peer.send(status)
        lines = b"x: y\r\n" * 1000 if status else b"x" * 6000
        while True:
            sent.append(peer.connection.send(lines))

    with RawBroker(go_on) as server:
        async with fetching(directory, replace(SETTINGS, max_attempts=1)) as fetcher:
            state, message = await fetcher.fail(make_job(f"http://127.0.0.1:{server.port}/f"))
    assert state is State.DOWNLOAD_FAILED
    if status:
        assert message == "the head has no end (1 attempts)"
    assert sum(sent) < 16 * 1024 * 1024, "what the sockets hold"


# --- redirects ------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_redirect_is_followed_with_range_and_if_match(
    server: FileServer, file: File, directory: Path
) -> None:
    door = server.add("/door", b"")
    door.redirect("/a/firmware.bin?x=secret", times=FOREVER)
    file.cut(1000)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(door.url))
    assert resumed_at(file) == [None, "bytes=1000-"]
    assert len(door.requests) == 2


@pytest_twisted.ensureDeferred
async def test_a_redirect_that_is_not_escaped_is_followed(
    server: FileServer, directory: Path
) -> None:
    door, file = server.add("/door", b""), server.add("/a%20b/%C3%A4%E4", CONTENT)
    door.redirect("/a b/\xc3\xa4\xe4?x=y z")
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(door.url))
    assert [request.query for request in file.requests] == ["x=y%20z"]


@pytest_twisted.ensureDeferred
async def test_the_body_of_a_redirect_is_not_waited_for(
    server: FileServer, file: File, directory: Path
) -> None:
    door = server.add("/door", b"")
    door.status(302, b"<p>over there", {"Location": file.url}, hang=True)
    async with fetching(directory, replace(SETTINGS, idle_timeout=600.0)) as fetcher:
        await fetcher.fetch_well(make_job(door.url))


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("location", "what"),
    [
        ("https://127.0.0.1/x", "the server redirects from http to https"),
        ("ftp://127.0.0.1/x", "the server redirects from http to ftp"),
        ("http://[/x", "the server redirects to what is no URL"),
        ("http://me:secret@127.0.0.1/x", "the server redirects to what is no URL"),
        ("/door", "more than 5 redirects"),
    ],
)
async def test_redirects_that_are_not_followed(
    server: FileServer, directory: Path, location: str, what: str
) -> None:
    door = server.add("/door", b"")
    door.redirect(location, times=FOREVER)
    async with fetching(directory) as fetcher:
        assert await fetcher.fail(make_job(door.url)) == (State.DOWNLOAD_FAILED, what)
    assert len(door.requests) == (6 if location == "/door" else 1)


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority()


@pytest.fixture
def secure(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FileServer]:
    """A server whose authority the platform trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path / "ca.pem"))
    hosts = ["127.0.0.1", "localhost"]
    with FileServer(authority.issue(tmp_path, "server", hosts), "localhost") as server:
        yield server


@pytest_twisted.ensureDeferred
async def test_https_needs_no_leave(secure: FileServer, directory: Path) -> None:
    file = secure.add("/f", CONTENT)
    file.cut(1000)
    async with fetching(directory, replace(SETTINGS, allow_http=False)) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert resumed_at(file) == [None, "bytes=1000-"]


@pytest_twisted.ensureDeferred
async def test_https_with_an_address_for_a_host(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path / "ca.pem"))
    with FileServer(authority.issue(tmp_path, "server", ["127.0.0.1"])) as server:
        file = server.add("/f", CONTENT)
        async with fetching(directory) as fetcher:
            await fetcher.fetch_well(make_job(file.url))


@pytest_twisted.ensureDeferred
async def test_https_with_a_stalled_server_stops_at_once(
    secure: FileServer, directory: Path
) -> None:
    file = secure.add("/f", CONTENT)
    file.stall(1000)
    async with fetching(directory) as fetcher:
        fetcher.downloader.start(make_job(file.url))
        await until(lambda: fetcher.heard.events)


@pytest_twisted.ensureDeferred
async def test_https_that_breaks_says_so(
    secure: FileServer, directory: Path, log: list[LogEvent]
) -> None:
    """Twisted's TLS can be aborted only while there is a connection."""
    file = secure.add("/f", CONTENT)
    file.cut(70000, reset=True, times=3)
    async with fetching(directory) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    told = [formatEvent(event) for event in log if "reason" in event]
    assert len(told) == 3
    assert all("Connection to the other side was lost" in each for each in told)


@pytest_twisted.ensureDeferred
async def test_an_unknown_authority_is_refused(
    secure: FileServer, tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", Authority().write(tmp_path / "other.pem"))
    file = secure.add("/f", CONTENT)
    async with fetching(directory) as fetcher:
        state, message = await fetcher.fail(make_job(file.signed_url))
    assert state is State.DOWNLOAD_FAILED
    assert message == "TLS: certificate verify failed (5 attempts)"
    assert not file.requests


@pytest_twisted.ensureDeferred
async def test_authorities_of_our_own(
    secure: FileServer,
    authority: Authority,
    tmp_path: Path,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Instead of the platform's, and read anew for every connection."""
    others = Authority().write(tmp_path / "platform.pem")
    cafile = tmp_path / "own.pem"
    both = (Path(others), Path(authority.write(tmp_path / "right.pem")))
    cafile.write_text("".join(each.read_text() for each in both))
    monkeypatch.setenv("SSL_CERT_FILE", others)
    file = secure.add("/f", CONTENT)
    async with fetching(directory, replace(SETTINGS, cafile=str(cafile))) as fetcher:
        await fetcher.fetch_well(make_job(file.signed_url))
        cafile.write_text(both[0].read_text())
        _, message = await fetcher.fail(make_job(file.signed_url, key("again")))
        assert message == "TLS: certificate verify failed (5 attempts)"
        cafile.unlink()
        _, message = await fetcher.fail(make_job(file.signed_url, key("gone")))
        assert message == "FileNotFoundError (5 attempts)"
    assert len(file.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_host_is_refused(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path / "ca.pem"))
    with FileServer(authority.issue(tmp_path, "server", ["example.com"])) as server:
        file = server.add("/f", CONTENT)
        async with fetching(directory) as fetcher:
            _, message = await fetcher.fail(make_job(file.url))
    assert message == "TLS: the server's certificate is for another host (5 attempts)"
    assert not file.requests


@pytest_twisted.ensureDeferred
async def test_https_does_not_lead_to_http(secure: FileServer, file: File, directory: Path) -> None:
    door = secure.add("/door", b"")
    door.redirect(file.url)
    async with fetching(directory) as fetcher:
        _, message = await fetcher.fail(make_job(door.url))
    assert message == "the server redirects from https to http"
    assert not file.requests


# --- the disk -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "DISK_PAUSE", 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1536k,mode=700", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.xfail("no leave to mount a tmpfs")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest_twisted.ensureDeferred
async def test_a_file_that_will_not_fit_is_not_begun(server: FileServer, small_disk: Path) -> None:
    file = server.add("/f", bytes(2_000_000))
    async with fetching(small_disk / "d") as fetcher:
        state, message = await fetcher.fail(make_job(file.url))
    assert state is State.INSUFFICIENT_STORAGE
    assert re.fullmatch(r"the disk lacks \d+ bytes for the file", message)
    assert os.listdir(small_disk / "d") == []


@pytest_twisted.ensureDeferred
async def test_a_disk_that_fills_up(server: FileServer, small_disk: Path) -> None:
    file = server.add("/f", bytes(2_000_000))
    file.chunked(times=3)
    async with fetching(small_disk / "d") as fetcher:
        state, _ = await fetcher.fail(make_job(file.url))
    assert state is State.INSUFFICIENT_STORAGE
    assert os.listdir(small_disk / "d") == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("number", "state", "kept"),
    [
        (errno.ENOSPC, State.INSUFFICIENT_STORAGE, False),
        (errno.EDQUOT, State.INSUFFICIENT_STORAGE, False),
        (errno.EIO, State.DOWNLOAD_FAILED, True),
    ],
)
async def test_write_errors(
    file: File,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    state: State,
    kept: bool,
) -> None:
    def write(self: PartialFile, data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(PartialFile, "write", write)
    async with fetching(directory) as fetcher:
        told, message = await fetcher.fail(make_job(file.url))
    assert told is state
    assert message.endswith(os.strerror(number))
    assert bool(list(directory.glob("*.part"))) is kept


# --- a real server ---


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[Nginx, Certs]]:
    certs = make_certs(tmp_path / "certs")
    with Nginx(tmp_path / "nginx", certs) as server:
        yield server, certs


@requires_nginx
@pytest.mark.parametrize("tls", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_large_file(nginx: tuple[Nginx, Certs], directory: Path, tls: bool) -> None:
    """Many batches; then the same again from its middle, as after a crash."""
    server, certs = nginx
    content = os.urandom(20_000_000)
    (server.root / "file").write_bytes(content)
    job = make_job(server.url("file", tls=tls), sha256=hashlib.sha256(content).hexdigest())
    files = Store(directory).files(KEY)
    async with fetching(directory, replace(SETTINGS, cafile=certs.cafile)) as fetcher:
        await fetcher.fetch_well(job, content)
        note = files.read_note()
        files.complete.unlink()
        files.part.write_bytes(content[:9_999_999])
        files.write_note(replace(note, digest=""))
        server.forget()
        await fetcher.fetch_well(job, content)
    wait_until(lambda: 206 in server.statuses())
    assert server.statuses() == [206]


@requires_nginx
@pytest.mark.parametrize("tls", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_limited_rate(nginx: tuple[Nginx, Certs], directory: Path, tls: bool) -> None:
    """Only one that is too fast can fail: a busy machine makes it slower."""
    server, certs = nginx
    content = os.urandom(150_000)
    (server.root / "file").write_bytes(content)
    limited = replace(SETTINGS, cafile=certs.cafile, max_rate=100_000, idle_timeout=1.0)
    async with fetching(directory, limited) as fetcher:
        begin = time.monotonic()
        await fetcher.fetch_well(make_job(server.url("file", tls=tls)), content)
        assert time.monotonic() - begin >= 1.3

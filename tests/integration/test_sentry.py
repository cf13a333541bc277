"""Errors on their way to a Sentry that only writes them down."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python import log as legacy_log
from twisted.python.failure import Failure

from upparat import sentry
from upparat.log import bridge_standard_logging

URL = "https://bucket.s3.amazonaws.com/f.bin?X-Amz-Signature=pssst&X-Amz-Credential=pssst"
PASSWORD = "hunter2pssst"


class Sentry:
    """A DSN's endpoint that keeps the events, and everything as it came over the wire."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.raw = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.received(body.decode())
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self.server.server_port}/1"

    def received(self, envelope: str) -> None:
        self.raw += envelope
        lines = [json.loads(line) for line in envelope.splitlines() if line]
        for header, payload in itertools.pairwise(lines):
            if header.get("type") == "event":
                self.events.append(payload)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Sentry]:
    server = Sentry()
    yield server
    server.close()


@pytest.fixture
def stop(server: Sentry) -> Iterator[Callable[[], None]]:
    """Sentry is on; the stop sends what is left."""
    stop = sentry.start(server.dsn, "upparat@9.9", secrets=[PASSWORD, ""])
    yield stop
    stop()
    bridge_standard_logging()()


def broken(message: str) -> Failure:
    local = "a pssst of its own"
    try:
        raise ValueError(message)
    except ValueError:
        assert local
        return Failure()


def functions(event: dict[str, Any]) -> list[str]:
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    return [frame["function"] for frame in frames]


def test_failure_arrives_with_its_traceback(server: Sentry, stop: Callable[[], None]) -> None:
    Logger("upparat.test").failure("It broke for {url}", broken(f"no {URL}"), url=URL)
    stop()
    (event,) = server.events
    assert event["level"] == "fatal"
    assert event["logger"] == "upparat.test"
    assert event["release"] == "upparat@9.9"
    clean = "https://bucket.s3.amazonaws.com/f.bin?…"
    assert event["logentry"]["message"] == f"It broke for {clean}"
    error = event["exception"]["values"][-1]
    assert (error["type"], error["value"]) == ("ValueError", f"no {clean}")
    assert functions(event) == ["broken"]


def test_failure_that_went_through_a_deferred(server: Sentry, stop: Callable[[], None]) -> None:
    def work(_: None) -> None:
        raise ValueError("late")

    deferred: Deferred[None] = Deferred()
    deferred.addCallback(work)
    deferred.addErrback(lambda failure: Logger("upparat.test").failure("Work failed", failure))
    deferred.callback(None)
    stop()
    (event,) = server.events
    assert functions(event)[-1] == "work"


def test_error_of_the_old_log(server: Sentry, stop: Callable[[], None]) -> None:
    legacy_log.err(broken("old"), "It broke long ago")
    stop()
    (event,) = server.events
    assert functions(event) == ["broken"]
    assert event["logentry"]["message"] == "It broke long ago"


def test_errors_without_traceback(server: Sentry, stop: Callable[[], None]) -> None:
    log = Logger("upparat.test")
    for method in (log.debug, log.info, log.warn, log.error, log.critical):
        method("{name}: {url}", name=method.__name__, url=URL)
    stop()
    clean = "https://bucket.s3.amazonaws.com/f.bin?…"
    messages = [(event["level"], event["logentry"]["message"]) for event in server.events]
    assert messages == [("error", f"error: {clean}"), ("fatal", f"critical: {clean}")]
    crumbs = [crumb["message"] for crumb in server.events[0]["breadcrumbs"]["values"]]
    assert crumbs == [f"info: {clean}", f"warn: {clean}"]


def test_standard_library(server: Sentry, stop: Callable[[], None]) -> None:
    log = logging.getLogger("paho.test")
    log.warning("only a warning")
    log.error("an error with %s", URL)
    try:
        broken("").raiseException()
    except ValueError:
        log.exception("one with traceback")
    stop()
    first, second = server.events
    assert first["logger"] == "paho.test"
    assert first["logentry"]["message"] == "an error with https://bucket.s3.amazonaws.com/f.bin?…"
    assert second["level"] == "error"
    assert functions(second)[-1] == "broken"


def test_no_secret_leaves(server: Sentry, stop: Callable[[], None]) -> None:
    log = Logger("upparat.test")
    log.info("connecting with {password}", password=PASSWORD)
    log.warn("getting {url}", url=URL)
    log.failure("no {url}", broken(f"{PASSWORD} {URL}"), url=URL, meta="pssst", file="pssst")
    try:
        try:
            raise OSError(URL)
        except OSError as error:
            raise RuntimeError(f"with {PASSWORD}") from error
    except RuntimeError:
        log.failure("chained")
    stop()
    assert len(server.events) == 2
    for event in server.events:
        without_source(event)
        assert "pssst" not in json.dumps(event)


def without_source(event: dict[str, Any]) -> None:
    """This file's own source, which Sentry shows around each frame, names the secrets."""
    for error in event["exception"]["values"]:
        for frame in error["stacktrace"]["frames"]:
            assert "vars" not in frame
            for key in ("pre_context", "context_line", "post_context"):
                frame.pop(key, None)


def test_nothing_after_the_stop(server: Sentry, stop: Callable[[], None]) -> None:
    stop()
    Logger("upparat.test").error("too late")
    assert server.events == []


def test_what_sending_logs_is_not_sent(server: Sentry, stop: Callable[[], None]) -> None:
    logging.getLogger("urllib3.connectionpool").error("no")
    logging.getLogger("sentry_sdk.errors").error("no")
    stop()
    assert server.events == []


def test_sentry_out_of_reach(server: Sentry) -> None:
    dsn = server.dsn.replace(f":{server.server.server_port}", ":1")
    stop = sentry.start(dsn, "upparat@9.9")
    Logger("upparat.test").error("unheard")
    stop()
    bridge_standard_logging()()
    assert server.events == []


SILENT = """
import sys
from twisted.logger import Logger
from upparat import sentry
stop = sentry.start(sys.argv[1], "upparat@9.9")
Logger("upparat.test").error("unheard")
stop()
"""


def test_silent_sentry_does_not_hold_the_exit_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dsn = f"http://key@127.0.0.1:{listener.getsockname()[1]}/1"
        code = [sys.executable, "-c", SILENT, dsn]
        assert subprocess.run(code, check=False, timeout=30).returncode == 0


def test_imported_only_when_started() -> None:
    code = "import sys, upparat.sentry; sys.exit('sentry_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

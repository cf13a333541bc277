"""The download of a byte: what each failure means, and that the query stays secret."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

from tests.support.certs import LOCAL, Authority
from tests.support.files import FileServer
from tests.support.rawbroker import Peer, RawBroker
from tests.unit.doctor.bench import DoctorBench, examination
from upparat.config.settings import DownloadSettings
from upparat.doctor.download import examine, judge_status
from upparat.doctor.examination import Examination
from upparat.doctor.finding import Finding
from upparat.net.proxy import Proxies, Proxy

PLAIN = DownloadSettings(allow_http=True)
SECRET = "X-Amz-Signature=secret"


def answering(answer: bytes) -> RawBroker:
    """A server that sends these bytes, whatever it is asked."""

    def script(peer: Peer) -> None:
        peer.connection.recv(4096)
        peer.send(answer)

    return RawBroker(script)


class DownloadTests(DoctorBench):
    def found(self, url: str, settings: DownloadSettings = PLAIN, **members: Any) -> Finding:
        self.examined: Examination = examination(download=settings, url=url, **members)
        [found] = examine(self.examined)
        self.assertNotIn("secret", str(found))
        return found

    def answered(self, answer: bytes, settings: DownloadSettings = PLAIN) -> Finding:
        with answering(answer) as server:
            return self.found(f"http://127.0.0.1:{server.port}/a?{SECRET}", settings)

    def test_no_url(self) -> None:
        self.says(self.found(""), "skipped", "--url")

    def test_what_is_no_url(self) -> None:
        for url in (
            "ftp://host/a",
            "host/a",
            "http:///a",
            "http://host:x/a",
            f"https://[?{SECRET}",
        ):
            self.says(self.found(url), "failed", "--url is no")

    def test_a_good_answer(self) -> None:
        answer = b"HTTP/1.1 206 Partial Content\r\nDate: Fri, 01 Jan 2027 12:00:00 GMT\r\n\r\n1"
        self.says(self.answered(answer), "ok", "206 Partial Content")
        noon = datetime.datetime(2027, 1, 1, 12, tzinfo=datetime.UTC)
        self.assertEqual(self.examined.server_time, noon)

    def test_one_byte_is_asked_for(self) -> None:
        with FileServer() as server:
            file = server.add("/a", b"content")
            self.says(self.found(f"{file.url}?{SECRET}"), "ok")
        [request] = file.requests
        self.assertEqual(
            (request.method, request.range, request.query), ("GET", "bytes=0-0", SECRET)
        )

    def test_plain_http_needs_leave(self) -> None:
        answer = b"HTTP/1.1 206 Partial Content\r\n\r\n1"
        self.says(self.answered(answer, DownloadSettings()), "warning", "plain http")

    def test_each_status(self) -> None:
        for status, level, words in (
            (200, "ok", "ignores ranges"),
            (302, "warning", "to other.example"),
            (403, "failed", "has expired"),
            (404, "failed", "no such file"),
            (503, "failed", "Service Unavailable"),
            (599, "failed", "599"),
        ):
            found = judge_status("host", status, f"https://other.example/a?{SECRET}")
            self.says(found, level, words)
            self.assertNotIn("secret", str(found))

    def test_a_redirect_to_nowhere(self) -> None:
        self.says(judge_status("host", 301, "https://["), "warning", "another place")

    def test_a_server_that_does_not_speak_http(self) -> None:
        self.says(self.answered(b"SSH-2.0-OpenSSH\r\n"), "failed", "as HTTP says")

    def test_a_path_that_http_cannot_carry(self) -> None:
        with answering(b"") as server:
            url = f"http://127.0.0.1:{server.port}/a b?{SECRET}"
            self.says(self.found(url), "failed", "as HTTP says")

    def test_nothing_listens(self) -> None:
        with answering(b"") as server:
            port = server.port
        self.says(self.found(f"http://127.0.0.1:{port}/a"), "failed", "nothing listens")

    def test_no_such_name(self) -> None:
        self.says(self.found("https://a..b/"), "failed", "a..b")

    def test_tls(self) -> None:
        authority = Authority()
        cafile = authority.write(self.directory / "ca.pem")
        with FileServer(authority.issue(self.directory, "server", LOCAL)) as server:
            url = server.add("/a", b"content").url
            now = datetime.datetime.now(datetime.UTC)
            trusted = replace(PLAIN, cafile=cafile)
            self.says(self.found(url, trusted, now=lambda: now), "ok", "127.0.0.1")
            self.says(self.found(url, now=lambda: now), "failed", "of another authority")

    def test_a_proxy(self) -> None:
        with answering(b"HTTP/1.1 407 Nope\r\n\r\n") as server:
            proxy = Proxy("127.0.0.1", server.port, "Basic c2VjcmV0")
            settings = replace(PLAIN, proxy=Proxies(proxy, proxy))
            found = self.found("https://files.example/a", settings)
            self.says(found, "failed", "the proxy answers 407", "files.example")
            self.assertNotIn("c2VjcmV0", str(found))
            found = self.found(f"http://files.example/a?{SECRET}", settings)
            self.says(found, "failed", "407 Proxy Authentication Required")

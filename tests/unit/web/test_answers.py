"""The answers: paths, methods, hosts and headers."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.control.bench import check
from tests.unit.web.bench import WebBench
from upparat.metrics.exposition import Metrics, MetricsMissing

PATHS = ("/", "/status", "/events", "/metrics")


class PathTests(WebBench):
    def test_the_page(self) -> None:
        code, headers, body = self.client().asks().answer()
        self.assertEqual((code, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertTrue(body.startswith(b"<!DOCTYPE html>"))
        self.assertIn(b"device-1", body)

    def test_the_status(self) -> None:
        client = self.client().asks("/status?again")
        code, headers, body = client.answer()
        self.assertEqual((code, headers["content-type"]), (200, "application/json"))
        status = self.client().asks("/status").json
        check(status)
        self.assertEqual((status["type"], status["state"]), ("status", "monitor"))
        self.assertEqual(len(body), int(headers["content-length"]))

    def test_the_metrics(self) -> None:
        code, headers, body = self.client().asks("/metrics").answer()
        self.assertEqual(code, 200)
        self.assertTrue(headers["content-type"].startswith("text/plain; version="))
        self.assertIn(b"\nupparat_connected 1.0\n", body)
        asked = self.client().asks("/metrics", Accept="application/openmetrics-text")
        self.assertIn("openmetrics", asked.answer()[1]["content-type"])

    def test_without_prometheus_client(self) -> None:
        def missing(_: object) -> Callable[[str], tuple[str, bytes]]:
            raise MetricsMissing("install it")

        self.patch(Metrics, "_make", missing)
        code, _, body = self.client().asks("/metrics").answer()
        self.assertEqual((code, body), (501, b"install it\n"))
        self.assertEqual(self.client().asks("/").code, 200)

    def test_no_other(self) -> None:
        for path in ("/nothing", "//", "/../etc/passwd", "/page.js", "http://localhost/", "*"):
            self.assertEqual(self.client().asks(path).code, 404, path)

    def test_head(self) -> None:
        for path in PATHS:
            client = self.client().asks(path, "HEAD")
            code, headers, body = client.answer()
            self.assertEqual((code, body, client.closed), (200, b"", True), path)
            self.assertIn("content-type", headers)

    def test_only_get_and_head(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"):
            code, headers, _ = self.client().asks("/", method).answer()
            self.assertEqual((code, headers["allow"]), (405, "GET, HEAD"), method)


class SafetyTests(WebBench):
    def test_other_hosts_get_nothing(self) -> None:
        for path in (*PATHS, "/nothing"):
            for host in ("evil.example", "evil.example:9110", None):
                code, _, body = self.client().asks(path, host=host).answer()
                self.assertEqual(code, 403)
                self.assertNotIn(b"device-1", body)

    def test_two_hosts(self) -> None:
        client = self.client()
        client.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        self.assertEqual(client.code, 403)

    def test_a_host_that_is_no_text(self) -> None:
        client = self.client()
        client.sends(b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n")
        self.assertEqual(client.code, 403)

    def test_no_other_site_may_use_an_answer(self) -> None:
        for path in ("/", "/status", "/metrics", "/nothing"):
            headers = self.client().asks(path, Origin="https://evil.example").answer()[1]
            self.assertEqual(headers["cross-origin-resource-policy"], "same-origin")
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertNotIn("access-control-allow-origin", headers)

"""The URL of an upload, and why one is not used."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.joblog.bench import A
from upparat.job import JobExecution, Status
from upparat.joblog.url import upload_url

URL = "https://bucket.s3.amazonaws.com/logs/thing/a/1.txt?X-Amz-Signature=secret"
PLACEHOLDER = "${aws:iot:s3-presigned-url-upload:https://s3.eu.amazonaws.com/b/logs/${thingName}}"


def described(document: object) -> JobExecution:
    return JobExecution(A, Status.IN_PROGRESS, 1, document=document)


class UrlTests(SynchronousTestCase):
    def url(self, log_url: Any, *, allow_http: bool = False) -> str:
        return upload_url(described({"log_url": log_url}), allow_http=allow_http)

    def test_right(self) -> None:
        self.assertEqual(self.url(URL), URL)
        plain = "http://127.0.0.1:1/log"
        self.assertEqual(self.url(plain, allow_http=True), plain)

    def test_none(self) -> None:
        self.assertEqual(self.url(None), "")
        documents: tuple[object, ...] = (None, {}, [], "text", {"action": "x"})
        for document in documents:
            self.assertEqual(upload_url(described(document), allow_http=True), "")

    def test_wrong(self) -> None:
        for url, problem in (
            (PLACEHOLDER, "holds a placeholder that was not replaced"),
            (5, "must be a string, not a number"),
            ("", "is empty"),
            ("ftp://h/secret", "must be an https: or http: URL"),
            ("file:///etc/secret", "must be an https: or http: URL"),
            ("https://h/a secret", "holds white space or a control character"),
            ("http://h/secret", "plain http needs [download] allow_http"),
            ("https://h/ä?secret", "a URL is written in printable ASCII characters"),
            ("https://me:secret@h/", "a URL with a user name is not supported"),
        ):
            wrong = self.assertRaises(ValueError, self.url, url)
            self.assertEqual(str(wrong), f"log_url: {problem}")

"""What responses mean."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.support.anyjson import RELAXED
from tests.support.downloads import make_job
from tests.support.files import EXPIRED
from upparat.download.response import (
    MAX_RETRY_AFTER,
    SLOW_DOWN,
    Body,
    Complete,
    ErrorResponse,
    EtagChanged,
    FileChanged,
    Head,
    Permanent,
    Redirect,
    ResumePoint,
    Temporary,
    UrlExpired,
    interpret_error,
    interpret_head,
)
from upparat.download.url import redirected, url_problem

PART = ResumePoint(10, '"e"', 100)


def head(status: int, length: int | None = None, **headers: str) -> Head:
    names = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Head(status, Headers(names), length)


class ResumePointTests(SynchronousTestCase):
    def test_headers(self) -> None:
        self.assertEqual(ResumePoint().headers, {})
        self.assertEqual(PART.headers, {"Range": "bytes=10-", "If-Match": '"e"'})
        self.assertEqual(ResumePoint(10, "", 100).headers, {"Range": "bytes=10-"})

    def test_resumable(self) -> None:
        self.assertTrue(PART.resumable)
        self.assertTrue(ResumePoint(1, '"e"').resumable)
        self.assertTrue(ResumePoint(1, "", 2).resumable)
        self.assertFalse(ResumePoint(1).resumable)
        self.assertFalse(ResumePoint(0, '"e"', 2).resumable)
        self.assertTrue(ResumePoint(1, judged=True).resumable)
        self.assertFalse(ResumePoint(judged=True).resumable)


class HeadTests(SynchronousTestCase):
    def test_200_starts_at_0(self) -> None:
        for held in (ResumePoint(), PART):
            self.assertEqual(
                interpret_head(held, None, head(200, 5, etag='"x"')), Body(0, '"x"', 5)
            )

    def test_an_etag_that_is_no_text_is_none(self) -> None:
        latin = Head(200, Headers({b"etag": [b'"\xe9"']}), 5)
        self.assertEqual(interpret_head(ResumePoint(), None, latin), Body(0, "", 5))

    def test_weak_and_broken_etags_are_none(self) -> None:
        for etag in ('W/"x"', "x", '"x', '"x"y"', ""):
            self.assertEqual(interpret_head(ResumePoint(), None, head(200, etag=etag)), Body(0))

    def test_206_that_continues(self) -> None:
        answer = head(206, 90, etag='"e"', content_range="bytes 10-99/100")
        self.assertEqual(interpret_head(PART, None, answer), Body(10, '"e"', 100))
        self.assertEqual(interpret_head(ResumePoint(10, '"e"'), None, answer), Body(10, '"e"', 100))
        self.assertEqual(
            interpret_head(ResumePoint(10, "", 100), None, answer), Body(10, '"e"', 100)
        )

    def test_206_from_the_start_though_nobody_asked(self) -> None:
        answer = head(206, content_range="bytes 0-49/100")
        self.assertEqual(interpret_head(ResumePoint(), None, answer), Body(0, "", 100))

    def test_206_that_does_not_continue(self) -> None:
        for headers in (
            {"etag": '"e"'},
            {"etag": '"e"', "content_range": "bytes 9-99/100"},
            {"etag": '"e"', "content_range": "bytes */100"},
            {"etag": '"e"', "content_range": "bytes 10-99/101"},
            {"etag": '"e"', "content_range": "bytes 10-99/*"},
            {"etag": '"e"', "content_range": "lines 10-99/100"},
            {"etag": '"f"', "content_range": "bytes 10-99/100"},
            {"etag": 'W/"e"', "content_range": "bytes 10-99/100"},
            {"content_range": "bytes 10-99/100"},
        ):
            answer = head(206, **headers)  # type: ignore[arg-type]
            self.assertIsInstance(interpret_head(PART, None, answer), FileChanged, headers)
            self.assertIsInstance(
                interpret_head(ResumePoint(), None, answer), ErrorResponse, headers
            )

    def test_206_with_an_etag_and_no_total_continues_what_has_none(self) -> None:
        answer = head(206, etag='"e"', content_range="bytes 10-99/*")
        self.assertEqual(interpret_head(ResumePoint(10, '"e"'), None, answer), Body(10, '"e"'))

    def test_412(self) -> None:
        self.assertIsInstance(interpret_head(PART, None, head(412)), FileChanged)
        self.assertIsInstance(interpret_head(ResumePoint(), None, head(412)), ErrorResponse)

    def test_another_etag_of_a_file_with_a_digest(self) -> None:
        """It may be the same file on another server. Without an ETag only the size tells."""
        span, other = "bytes 10-99/100", "bytes 10-99/101"
        for answer, without in (
            (head(412), FileChanged),
            (head(200, 100, etag='"f"'), Body),
            (head(200, 100), Body),
            (head(206, 90, etag='"f"', content_range=span), Body),
            (head(206, 90, content_range=span), Body),
            (head(206, 91, etag='"f"', content_range=other), FileChanged),
            (head(416, etag='"f"', content_range="bytes */10"), FileChanged),
        ):
            held = replace(PART, judged=True)
            self.assertIs(type(interpret_head(held, None, answer)), EtagChanged, answer)
            held = ResumePoint(10, "", 100, judged=True)
            self.assertIs(type(interpret_head(held, None, answer)), without, answer)

    def test_the_same_etag_of_a_file_with_a_digest(self) -> None:
        held = replace(PART, judged=True)
        whole = head(200, 100, etag='"e"')
        self.assertEqual(interpret_head(held, None, whole), Body(0, '"e"', 100))
        rest = head(206, 90, etag='"e"', content_range="bytes 10-99/100")
        self.assertEqual(interpret_head(held, None, rest), Body(10, '"e"', 100))
        self.assertEqual(
            interpret_head(ResumePoint(10, judged=True), None, rest), Body(10, '"e"', 100)
        )

    def test_416_with_everything_there(self) -> None:
        full = ResumePoint(100, '"e"', 100)
        self.assertEqual(interpret_head(full, None, head(416)), Complete())
        self.assertEqual(
            interpret_head(full, None, head(416, content_range="bytes */100")), Complete()
        )
        self.assertEqual(interpret_head(ResumePoint(100, '"e"'), 100, head(416)), Complete())
        told = head(416, content_range="bytes */100")
        self.assertEqual(interpret_head(ResumePoint(100, '"e"'), None, told), Complete())

    def test_416_with_something_else_there(self) -> None:
        self.assertIsInstance(interpret_head(PART, None, head(416)), FileChanged)
        self.assertIsInstance(interpret_head(ResumePoint(100, '"e"'), None, head(416)), FileChanged)
        shorter = head(416, content_range="bytes */9")
        for held, other in (
            (ResumePoint(9, '"e"', 100), shorter),
            (ResumePoint(9, '"e"'), head(416, content_range="bytes */9", etag='"other"')),
            (ResumePoint(100, '"e"', 100), head(416, content_range="bytes */9")),
        ):
            self.assertIsInstance(interpret_head(held, None, other), FileChanged, held)
        self.assertIsInstance(interpret_head(ResumePoint(10, '"e"', 10), 10, shorter), FileChanged)
        self.assertIsInstance(interpret_head(ResumePoint(), None, head(416)), ErrorResponse)

    def test_redirects(self) -> None:
        for status in (301, 302, 303, 307, 308):
            self.assertEqual(
                interpret_head(PART, None, head(status, location=" /x ")), Redirect("/x")
            )
            self.assertEqual(interpret_head(PART, None, head(status)), ErrorResponse())
        self.assertEqual(interpret_head(PART, None, head(304, location="/x")), ErrorResponse())
        latin = Head(302, Headers({b"location": [b"/\xe9"]}))
        self.assertEqual(interpret_head(PART, None, latin), Redirect("/\udce9"))


class ErrorTests(SynchronousTestCase):
    def test_s3_says_why(self) -> None:
        self.assertEqual(
            interpret_error(head(403), EXPIRED),
            UrlExpired("HTTP 403 AccessDenied: Request has expired"),
        )
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        self.assertIsInstance(interpret_error(head(400), body), UrlExpired)

    def test_kinds(self) -> None:
        for status, kind in (
            (401, UrlExpired),
            (403, UrlExpired),
            (400, Permanent),
            (404, Permanent),
            (410, Permanent),
            (451, Permanent),
            (499, Permanent),
            (299, Temporary),
            (300, Permanent),
            (304, Permanent),
            (408, Temporary),
            (429, Temporary),
            (500, Temporary),
            (503, Temporary),
            (204, Temporary),
            (206, Temporary),
        ):
            self.assertIsInstance(interpret_error(head(status), b""), kind, status)

    def s3(self, status: int, code: str, message: str = "", **headers: str) -> Any:
        """What an error of S3 means, in the form that its documentation shows."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
            f"  <Code>{code}</Code>\n  <Message>{message}</Message>\n"
            "  <Resource>/bucket/firmware.bin</Resource>\n</Error>"
        )
        return interpret_error(head(status, None, **headers), body.encode())

    def test_s3_has_trouble(self) -> None:
        for status, code in ((500, "InternalError"), (503, "ServiceUnavailable")):
            self.assertEqual(self.s3(status, code), Temporary(f"HTTP {status} {code}"))
            told = self.s3(status, code, retry_after="7")
            self.assertEqual(told, Temporary(f"HTTP {status} {code}", 7.0))

    def test_s3_wants_fewer_requests(self) -> None:
        message = "Please reduce your request rate."
        reason = f"HTTP 503 SlowDown: {message}"
        answer = self.s3(503, "SlowDown", message)
        self.assertEqual(answer, Temporary(reason, SLOW_DOWN, SLOW_DOWN))
        told = self.s3(503, "SlowDown", message, retry_after="120")
        self.assertEqual(told, Temporary(reason, 120.0, SLOW_DOWN))

    def test_s3_has_waited_for_us(self) -> None:
        """With the status of a request that is wrong, it is one that was slow."""
        self.assertEqual(self.s3(400, "RequestTimeout"), Temporary("HTTP 400 RequestTimeout"))

    def test_a_token_of_s3_that_has_expired(self) -> None:
        message = "The provided token has expired."
        reason = f"HTTP 400 ExpiredToken: {message}"
        self.assertEqual(self.s3(400, "ExpiredToken", message), UrlExpired(reason))
        self.assertIsInstance(self.s3(400, "InvalidToken", "Malformed"), Permanent)

    def test_a_clock_that_is_wrong(self) -> None:
        message = "The difference between the request time and the server's time is too large."
        self.assertEqual(
            self.s3(403, "RequestTimeTooSkewed", message),
            UrlExpired(
                f"HTTP 403 RequestTimeTooSkewed: {message} "
                "(whoever signed the URL has another time than S3)"
            ),
        )

    def test_a_precondition_of_s3(self) -> None:
        """With something here it is about that; without, nothing was demanded."""
        self.assertIsInstance(interpret_head(PART, None, head(412)), FileChanged)
        self.assertEqual(
            self.s3(412, "PreconditionFailed"), Permanent("HTTP 412 PreconditionFailed")
        )

    def test_a_proxy_that_wants_credentials(self) -> None:
        """Somebody may set them, or the proxy, right meanwhile."""
        self.assertEqual(
            interpret_error(head(407), b""),
            Temporary("the proxy answers 407 Proxy Authentication Required"),
        )

    def test_a_body_cannot_bring_secrets_or_control_characters(self) -> None:
        body = b"<Code>Bad\x1b[31m</Code><Message>no http://h/p?X-Amz-Sig=secret\n&amp; &lt;so"
        reason = interpret_error(head(404), body + b" on</Message>").reason
        self.assertEqual(reason, "HTTP 404 Bad: no http://h/p?… & <so on")

    def test_a_long_error_is_cut(self) -> None:
        reason = self.s3(404, "C" * 100, "m" * 300).reason
        self.assertEqual(reason, f"HTTP 404 {'C' * 64}: {'m' * 200}")

    def test_nobody_waits_unasked(self) -> None:
        answer = interpret_error(head(500), b"")
        assert isinstance(answer, Temporary)
        self.assertEqual((answer.after, answer.spread), (0.0, 0.0))

    def test_answers_do_not_change(self) -> None:
        for answer in (
            PART,
            head(200),
            Body(0, "", None),
            Redirect("/"),
            Temporary(""),
            UrlExpired(""),
            Permanent(""),
            FileChanged(""),
        ):
            name = fields(answer)[0].name
            self.assertRaises(FrozenInstanceError, setattr, answer, name, "x")

    def test_the_first_of_two_headers_counts(self) -> None:
        two = Head(301, Headers({"location": ["/one", "/two"]}), None)
        self.assertEqual(interpret_head(ResumePoint(), None, two), Redirect("/one"))

    def test_unknown_numbers(self) -> None:
        self.assertEqual(interpret_error(head(599), b"\xff"), Temporary("HTTP 599"))

    def test_retry_after(self) -> None:
        now = "Wed, 21 Oct 2015 07:28:00 GMT"
        for value, seconds in (
            ("7", 7.0),
            ("0", 0.0),
            ("999999", 300.0),
            ("-1", 0.0),
            ("soon", 0.0),
            ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
            ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
            ("Wed, 21 Oct 2015 07:20:00 GMT", 0.0),
        ):
            answer = interpret_error(head(503, retry_after=value, date=now), b"")
            self.assertEqual(answer, Temporary("HTTP 503 Service Unavailable", seconds), value)


# --- whatever a server says ---

NAMES = ("etag", "content-range", "location", "retry-after", "date", "content-length", "x")
VALUES = (
    st.text(max_size=40)
    | st.from_regex(r"bytes +(\d{0,20}-\d{0,20}|\*)/(\d{0,20}|\*)", fullmatch=True)
    | st.from_regex(r'(W/)?"[^"]{0,9}"?', fullmatch=True)
    | st.integers().map(str)
    | st.datetimes().map(lambda when: when.strftime("%a, %d %b %Y %H:%M:%S GMT"))
)
HEADERS = st.dictionaries(st.sampled_from(NAMES), st.lists(VALUES, max_size=2))
HEADS = st.builds(
    lambda status, headers, length: Head(status, _headers(headers), length),
    st.sampled_from([200, 206, 301, 302, 400, 403, 404, 412, 416, 429, 500, 503])
    | st.integers(-1, 1000),
    HEADERS,
    st.none() | st.integers(0, 2**70),
)
SIZES = st.none() | st.integers(0, 2**70)
HELD = st.builds(ResumePoint, st.integers(0, 2**70), st.sampled_from(["", '"e"']), SIZES)
BODIES = st.binary(max_size=200) | st.builds(
    lambda code, message: f"<Error><Code>{code}</Code><Message>{message}</Message>".encode(
        "utf-8", "replace"
    ),
    st.text(max_size=80) | st.sampled_from(["SlowDown", "ExpiredToken"]),
    st.text(max_size=300) | st.just("https://h/f?X-Amz-Signature=secret expired"),
)


def _headers(values: dict[str, list[str]]) -> Headers:
    """As they come from the wire: bytes without line ends."""
    raw = {
        name: [
            value.encode("utf-8", "replace").replace(b"\n", b"").replace(b"\r", b"")
            for value in given_values
        ]
        for name, given_values in values.items()
    }
    return Headers({name.encode(): each for name, each in raw.items()})


class AnythingTests(SynchronousTestCase):
    @RELAXED
    @given(HELD, SIZES, HEADS)
    def test_any_head(self, held: ResumePoint, size: int | None, head: Head) -> None:
        answer = interpret_head(held, size, head)
        if isinstance(answer, Body):
            self.assertIn(answer.offset, (0, held.length))
            if head.status != 206:
                self.assertEqual(answer.offset, 0)
            if answer.offset and held.etag:
                self.assertEqual(answer.etag, held.etag)
        elif isinstance(answer, Complete):
            self.assertGreater(held.length, 0)
        else:
            self.assertIsInstance(answer, FileChanged | Redirect | ErrorResponse)

    @RELAXED
    @given(HEADS, BODIES)
    def test_any_refusal(self, head: Head, body: bytes) -> None:
        verdict = interpret_error(head, body)
        self.assertIsInstance(verdict, Temporary | UrlExpired | Permanent)
        self.assertTrue(verdict.reason.isprintable())
        self.assertLess(len(verdict.reason), 400)
        self.assertNotIn("secret", verdict.reason)
        if isinstance(verdict, Temporary):
            self.assertTrue(0 <= verdict.after <= MAX_RETRY_AFTER)

    @RELAXED
    @given(
        st.sampled_from(["https://h/f?secret", "http://h/f"]),
        st.text() | st.text(max_size=20).map(lambda text: "//" + text),
    )
    def test_any_redirect(self, origin: str, location: str) -> None:
        target, problem = redirected(origin, location)
        if not problem:
            self.assertEqual(target.split(":")[0].lower(), origin.split(":")[0])
            self.assertEqual(url_problem(make_job(target), allow_http=True), "")

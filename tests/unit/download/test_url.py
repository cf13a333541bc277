"""Which URLs are requested, and which redirects are followed."""

from __future__ import annotations

from urllib.parse import urljoin

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from tests.support.downloads import make_job
from upparat.download.url import redirected, url_path, url_problem


class UrlTests(SynchronousTestCase):
    def problem(self, url: str, *, allow_http: bool = False, sha256: str | None = None) -> str:
        return url_problem(make_job(url, sha256=sha256), allow_http=allow_http)

    def test_https_is_fetched(self) -> None:
        for url in ("https://h/f?x", "HTTPS://h:8443/f", "https://[::1]/f"):
            self.assertEqual(self.problem(url), "")

    def test_http_needs_leave_or_a_digest(self) -> None:
        self.assertEqual(
            self.problem("http://h/f"),
            "plain http needs [download] allow_http, or a sha256 or sha512 in the job document",
        )
        self.assertEqual(self.problem("http://h/f", allow_http=True), "")
        self.assertEqual(self.problem("http://h/f", sha256="0" * 64), "")

    def test_other_schemes_are_refused(self) -> None:
        self.assertEqual(self.problem("file:///etc/passwd"), "file is neither https nor http")
        self.assertEqual(self.problem("/etc/passwd"), "no scheme is neither https nor http")
        self.assertEqual(self.problem("https://[x/"), "no scheme is neither https nor http")

    def test_what_nobody_can_be_asked_for(self) -> None:
        for url in (
            "https://",
            "https:///f",
            "https://h:0/f",
            "https://h:99999/f",
            "https://h:x/f",
            "https://h/ä",
            "https://h/a b",
            "https://me:secret@h/f",
        ):
            self.assertNotEqual(self.problem(url), "", url)
            self.assertNotIn("secret", self.problem(url))

    def test_redirects_keep_the_scheme(self) -> None:
        self.assertEqual(redirected("https://h/a?q", "/b?r"), ("https://h/b?r", ""))
        self.assertEqual(redirected("https://h/a", "//g/b"), ("https://g/b", ""))
        self.assertEqual(redirected("HTTP://h/a", "http://g/b"), ("http://g/b", ""))
        for origin, location in (
            ("https://h/a", "http://h/a"),
            ("http://h/a", "https://h/a"),
            ("https://h/a", "file:///etc/passwd"),
            ("https://h/a", "https://h:x/"),
            ("https://h/a", "https://[h/"),
            ("https://h/a", "https://me@h/"),
            ("https://h/a", "https://hä/b"),
            ("https://h/a", "//h g/b"),
            ("https://h/a", "https://h\udce4/b"),
            ("https://h/a", "/\ud800"),
            *(("https://h/a", f"/{each}b") for each in "\0\t\n\r\x1b\x7f"),
            ("https://h/a", "\r\n/b"),
            ("https://h/a", "/b\r\nX-More: 1"),
        ):
            self.assertNotEqual(redirected(origin, location)[1], "", location)

    def test_what_redirects_forget_to_escape(self) -> None:
        for location, escaped in (
            ("/a b?c d", "/a%20b?c%20d"),
            ("https://h/ä", "https://h/%C3%A4"),
            ("/\udce4", "/%E4"),
            ("/\u3000\xa0", "/%E3%80%80%C2%A0"),
            ("?ä", "a?%C3%A4"),
            ("/%20%c3%a4%", "/%20%c3%a4%"),
            (
                "/~x*(1)'%7E;v=1,@|[]{}<>\\^`\"!$&+?s=a+b/:",
                "/~x*(1)'%7E;v=1,@|[]{}<>\\^`\"!$&+?s=a+b/:",
            ),
            ("https://[::1]:8443/a b", "https://[::1]:8443/a%20b"),
        ):
            target = urljoin("https://h/a", escaped)
            self.assertEqual(redirected("https://h/a", location), (target, ""))

    def test_the_path_is_what_stays(self) -> None:
        self.assertEqual(url_path("https://h/a/b?X-Amz-Date=1"), "/a/b")

    @RELAXED
    @given(st.text() | st.text(max_size=20).map(lambda text: "https://" + text))
    def test_any_url(self, url: str) -> None:
        problem = url_problem(make_job(url), allow_http=True)
        self.assertTrue(problem.isprintable() or not problem)

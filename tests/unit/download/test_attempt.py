"""One attempt, with answers from a script."""

from __future__ import annotations

from tests.unit.download.bench import CONTENT, URL, Answer, Bench, broken, rest, whole
from upparat.download.attempt import MAX_REDIRECTS
from upparat.job import State


def redirect(location: str) -> Answer:
    return Answer(302, {"location": location})


class AttemptTests(Bench):
    def failure(self) -> tuple[object, ...] | None:
        """Why the download has failed for good, without a second attempt."""
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        return self.heard.outcome

    def test_a_redirect_is_followed(self) -> None:
        self.start(redirect("https://g/f"), redirect("/g"), whole())
        self.assertEqual([url for url, _ in self.asked], [URL, "https://g/f", "https://g/g"])
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)
        self.assertEqual(self.closed, 3)

    def test_a_redirect_is_asked_for_the_same_range(self) -> None:
        self.start(broken(4), redirect("https://g/f"), rest(4))
        self.reactor.advance(1)
        wanted = {"Range": "bytes=4-", "If-Match": '"e"'}
        self.assertEqual(self.asked[1:], [(URL, wanted), ("https://g/f", wanted)])

    def test_redirects_without_end(self) -> None:
        self.start(*[redirect("/f")] * (MAX_REDIRECTS + 1))
        message = f"more than {MAX_REDIRECTS} redirects"
        self.assertEqual(self.failure(), ("download_failed", State.DOWNLOAD_FAILED, message))

    def test_a_redirect_to_plain_http(self) -> None:
        self.start(redirect("http://g/f"))
        message = "the server redirects from https to http"
        self.assertEqual(self.failure(), ("download_failed", State.DOWNLOAD_FAILED, message))

    def test_an_end_that_nothing_shows(self) -> None:
        self.start(Answer(chunks=[CONTENT], end=False))
        message = "the server tells no length: give size or a digest in the job document"
        self.assertEqual(self.failure(), ("download_failed", State.DOWNLOAD_FAILED, message))

    def test_an_end_that_is_marked(self) -> None:
        self.start(Answer(chunks=[CONTENT], end=True))
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_trouble_after_the_last_byte(self) -> None:
        self.start(whole(end=ConnectionError()))
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.assertEqual(len(self.asked), 1)

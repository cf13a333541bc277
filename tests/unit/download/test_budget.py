"""The budget of an execution."""

from __future__ import annotations

from tests.support.downloads import KEY, make_job
from tests.unit.download.bench import (
    URL,
    Answer,
    Bench,
    broken,
    whole,
)
from upparat.job import State


class BudgetTests(Bench):
    def test_a_second_start_continues_it(self) -> None:
        self.start(*[ConnectionError()] * 3)
        self.reactor.advance(1)
        self.reactor.advance(2)
        self.downloader.stop()
        self.start(ConnectionError())
        self.assertEqual(self.heard.outcome[:2], ("download_failed", State.DOWNLOAD_FAILED))  # type: ignore[index]

    def test_another_execution_has_its_own(self) -> None:
        refused = ("url_expired", "HTTP 403 Forbidden")
        for number in (1, 1, 2, 2):
            self.answers = [Answer(403)]
            self.downloader.start(make_job(URL, KEY._replace(number=number)))
            self.assertEqual(self.heard.outcome, refused)

    def test_discard_forgets_it(self) -> None:
        for _ in range(5):
            job = self.start(Answer(403))
            self.assertEqual(self.heard.outcome, ("url_expired", "HTTP 403 Forbidden"))
            self.downloader.discard(job.key)

    def test_refusals_in_a_row_are_counted_between_new_bytes(self) -> None:
        for answers in (
            [Answer(403)],
            [Answer(403)],
            [broken(4), Answer(403)],
            [Answer(403)],
        ):
            self.start(*answers)
            self.reactor.advance(1)
            self.assertEqual(self.heard.outcome, ("url_expired", "HTTP 403 Forbidden"))
        self.start(Answer(403))
        failed = ("download_failed", State.DOWNLOAD_FAILED, "HTTP 403 Forbidden")
        self.assertEqual(self.heard.outcome, failed)

    def test_a_listener_may_start_again_from_within_the_event(self) -> None:
        answers: list[Answer | Exception] = [Answer(403), whole()]

        def start_again(name: str) -> None:
            if name == "url_expired":
                self.downloader.start(make_job(URL))

        self.heard.also = start_again
        self.start(*answers)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

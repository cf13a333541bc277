"""Which events are lines of a job's log, and how they look."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upparat.joblog.lines import format_line, is_wanted

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"


def event(text: str = "text", level: LogLevel = LogLevel.info, **fields: Any) -> LogEvent:
    return {
        "log_namespace": "upparat.test",
        "log_level": level,
        "log_format": "{text}",
        "log_time": 0.0,
        "text": text,
        **fields,
    }


class WantedTests(SynchronousTestCase):
    def test_levels(self) -> None:
        self.assertFalse(is_wanted(event(level=LogLevel.debug)))
        for level in (LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical):
            self.assertTrue(is_wanted(event(level=level)))
        self.assertTrue(is_wanted({"log_namespace": "upparat"}))

    def test_namespaces(self) -> None:
        for namespace in ("twisted.web", "log_legacy", "upparatus", "-"):
            self.assertFalse(is_wanted(event(log_namespace=namespace)))
        self.assertFalse(is_wanted({}))

    def test_output_of_hooks(self) -> None:
        self.assertTrue(is_wanted(event(level=LogLevel.debug, stream="stdout")))
        self.assertFalse(is_wanted(event(level=LogLevel.warn, repeats=True)))


class FormatTests(SynchronousTestCase):
    def test_an_event(self) -> None:
        self.assertRegex(format_line(event()), rf"\A{TIME} \[upparat\.test#info\] text\n\Z")

    def test_a_line_of_a_hook(self) -> None:
        line = format_line(event(hook="install", stream="stderr", line="no room"))
        self.assertRegex(line, rf"\A{TIME} \[install#stderr\] no room\n\Z")

    def test_an_event_without_text(self) -> None:
        self.assertEqual(format_line(event(text="", log_format=None)), "")

    def test_secrets(self) -> None:
        url = "https://h/f?X-Amz-Signature=secret"
        failure = Failure(ValueError(url))
        for each in (
            event(f"getting {url}"),
            event(log_failure=failure),
            event(hook="install", stream="stdout", line=f"getting {url}"),
        ):
            self.assertNotIn("secret", format_line(each))

    def test_no_text_forges_a_line(self) -> None:
        forged = "a\n2026 [forged#info] b\r\x1b[31m"
        for each in (event(forged), event(hook="h", stream="stdout", line=forged)):
            self.assertEqual(format_line(each).count("\n"), 1)

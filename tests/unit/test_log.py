"""The log's lines."""

from __future__ import annotations

import io
import logging
import re

from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upparat.config.settings import LOG_LEVELS
from upparat.log import bridge_standard_logging, make_observer, redact

URL = "https://bucket.s3.amazonaws.com/f.bin?X-Amz-Signature=secret&X-Amz-Credential=secret"


def failure(message: str) -> Failure:
    try:
        raise ValueError(message)
    except ValueError:
        return Failure()


class LogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(lambda: bridge_standard_logging()())
        self.file = io.StringIO()
        self.start("DEBUG")

    def start(self, level: str) -> None:
        self.observer = make_observer(level, self.file)
        self.log = Logger("upparat.test", observer=LogPublisher(self.observer))

    def written(self) -> str:
        return self.file.getvalue()


class FormatTests(LogTestCase):
    def test_line(self) -> None:
        self.log.info("{what} happened", what="it")
        time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"
        self.assertRegex(self.written(), rf"\A{time} \[upparat\.test#info\] it happened\n\Z")

    def test_no_text_forges_a_line(self) -> None:
        self.log.info("{text}", text="a\n2026 [forged#info] b\r\x1b[31mc\x85d\u2028e")
        self.assertEqual(self.written().count("\n"), 1)
        self.assertTrue(self.written().endswith("a 2026 [forged#info] b c d e\n"))
        self.assertEqual(len(self.written().splitlines()), 1)

    def test_traceback(self) -> None:
        self.log.failure("It broke", failure("one\ntwo\x1b[1m"))
        first, *lines = self.written().splitlines()
        self.assertTrue(first.endswith("[upparat.test#critical] It broke"))
        self.assertTrue(all(line.startswith("\t") for line in lines))
        self.assertIn("\t    raise ValueError(message)", lines)
        self.assertIn("\tbuiltins.ValueError: one", lines)
        self.assertNotIn("\x1b", self.written())

    def test_error_of_the_old_log(self) -> None:
        for why, text in (("It broke", "It broke"), (None, "Unhandled error")):
            self.file.truncate(0)
            event = {"failure": failure("x"), "why": why, "isError": 1, "log_text": "a\nb"}
            self.log.critical("{log_text}", **event)
            self.assertRegex(self.written().splitlines()[0], rf"#critical\] {text}$")
            self.assertIn("\tbuiltins.ValueError: x\n", self.written())

    def test_no_text(self) -> None:
        self.observer({"log_time": 0.0})
        self.assertEqual(self.written(), "")

    def test_secrets(self) -> None:
        self.log.info("getting {url}", url=URL)
        self.log.failure("no luck", failure(f"cannot get '{URL}'"))
        self.assertNotIn("secret", self.written())
        self.assertIn("getting https://bucket.s3.amazonaws.com/f.bin?…\n", self.written())

    def test_can_be_given_to_twistd(self) -> None:
        self.assertTrue(ILogObserver.providedBy(self.observer))


class RedactTests(SynchronousTestCase):
    def test_url(self) -> None:
        for url in (URL, URL.upper(), f'{{"file":"{URL}"}}', f"<{URL}#secret>", f"{URL} {URL}"):
            self.assertNotIn("secret", redact(url).lower())
        self.assertEqual(redact("http://h/p?q then"), "http://h/p?… then")
        self.assertEqual(redact("https://user:secret@h/p"), "https://…@h/p")

    def test_aws_parameters_alone(self) -> None:
        self.assertNotIn(
            "secret", redact("GET /f?a=1&X-Amz-Signature=secret&X-Amz-Date=1 HTTP/1.1")
        )

    def test_private_key(self) -> None:
        head, tail = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
        self.assertEqual(redact(f"a {head}\nse\ncret\n{tail} b"), f"a {head}…{tail} b")
        self.assertNotIn("cret", redact(f"{head}\nse\ncret"))

    def test_nothing_to_hide(self) -> None:
        for text in ("", "what? nothing", "https://h/p and a@b", "a?b=c"):
            self.assertEqual(redact(text), text)

    def test_twice(self) -> None:
        self.assertEqual(redact(redact(URL)), redact(URL))


class LevelTests(LogTestCase):
    def passing(self, level: str) -> list[str]:
        self.file.truncate(0)
        self.start(level)
        for each in LogLevel.iterconstants():
            self.log.emit(each, "text")
        self.log.error("failed", log_failure=failure("oops"))
        return re.findall(r"#(\w+)", self.written())

    def test_levels(self) -> None:
        all_levels = ["debug", "info", "warn", "error", "critical", "error"]
        for count, level in enumerate(LOG_LEVELS[:4]):
            self.assertEqual(self.passing(level), all_levels[count:])

    def test_exception(self) -> None:
        self.assertEqual(self.passing("EXCEPTION"), ["critical", "error"])

    def test_event_without_level_is_information(self) -> None:
        for level, lines in (("WARNING", 0), ("INFO", 1)):
            self.start(level)
            self.observer({"log_format": "text", "log_time": 0.0})
            self.assertEqual(self.written().count("#info] text\n"), lines)


class BridgeTests(LogTestCase):
    def setUp(self) -> None:
        super().setUp()
        globalLogPublisher.addObserver(self.observer)
        self.addCleanup(globalLogPublisher.removeObserver, self.observer)

    def test_records_are_events(self) -> None:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, 50, 60):
            logging.getLogger("paho.mqtt").log(level, "hello %s", "you")
        found = re.findall(r"\[paho\.mqtt#(\w+)\] hello you\n", self.written())
        self.assertEqual(found, ["debug", "info", "warn", "error", "critical", "critical"])

    def test_braces_are_only_braces(self) -> None:
        logging.getLogger("x").warning("{not} a {field")
        self.assertIn("[x#warn] {not} a {field\n", self.written())

    def test_traceback(self) -> None:
        try:
            raise OSError(f"cannot get {URL}")
        except OSError:
            logging.getLogger("x").exception("oops")
        self.assertIn("[x#error] oops\n", self.written())
        self.assertIn("\tbuiltins.OSError: cannot get https://bucket", self.written())
        self.assertNotIn("secret", self.written())
        self.flushLoggedErrors(OSError)

    def test_no_exception_at_hand(self) -> None:
        logging.getLogger("x").error("oops", exc_info=True)
        self.assertIn("[x#error] oops\n", self.written())

    def test_only_one_bridge(self) -> None:
        self.start("INFO")
        logging.getLogger("x").warning("once")
        self.assertEqual(self.written().count("once"), 1)

    def test_debug_records_are_made_only_when_wanted(self) -> None:
        self.assertTrue(logging.getLogger("x").isEnabledFor(logging.DEBUG))
        self.start("WARNING")
        self.assertFalse(logging.getLogger("x").isEnabledFor(logging.DEBUG))

    def test_no_loop(self) -> None:
        def observer(event: object) -> None:
            logging.getLogger("loop").warning("again")

        globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observer)  # type: ignore[arg-type]
        logging.getLogger("x").warning("start")
        self.assertEqual(self.written().count("again"), 0)
        logging.getLogger("twisted").warning("comes from Twisted")
        self.assertNotIn("comes from Twisted", self.written())

    def test_bad_arguments_do_not_raise(self) -> None:
        self.patch(logging, "raiseExceptions", False)
        logging.getLogger("x").warning("%d", "no number")

    def test_undone(self) -> None:
        bridge_standard_logging()()
        logging.getLogger("x").warning("unheard")
        self.assertNotIn("unheard", self.written())

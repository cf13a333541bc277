"""The options of an INI file: percent signs, defaults, and unknown names."""

from __future__ import annotations

from tests.unit.config.bench import ConfigBench


class TextTests(ConfigBench):
    def test_percent(self) -> None:
        broker = self.option("broker", "username = 100%%", "password = %%(x)s%%")
        self.assertEqual((broker.username, broker.password), ("100%", "%(x)s%"))
        self.assertEqual(self.option("broker", "host = h.x", "username = %(host)s").username, "h.x")

    def test_percent_alone(self) -> None:
        self.assertEqual(
            self.problems("[broker]\nusername = 100%\npassword = %(nothing)s\nhost = %x"),
            tuple(
                f"[broker] {option}: a % must be written as %%"
                for option in ("host", "username", "password")
            ),
        )

    def test_from_the_default_section(self) -> None:
        settings = self.load("[DEFAULT]\nconnect_timeout = 9\nmine = 1\n[broker]\n[download]\n")
        self.assertEqual(settings.broker.connect_timeout, 9.0)
        self.assertEqual(settings.download.connect_timeout, 9.0)


class UnknownTests(ConfigBench):
    def test_unknown_options(self) -> None:
        self.assertEqual(
            self.problem("broker", "hosts = x"),
            "[broker] hosts: unknown option, did you mean host?",
        )
        self.assertEqual(self.problem("broker", "zzz = x"), "[broker] zzz: unknown option")
        self.assertEqual(
            self.problem("hooks", "max_retries_ = 1"),
            "[hooks] max_retries_: unknown option, did you mean max_retries?",
        )

    def test_unknown_sections(self) -> None:
        self.assertEqual(
            self.problems("[hook]\ninstall = x\n[Service]\n[zzz]\n"),
            (
                "[hook]: unknown section, did you mean hooks?",
                "[Service]: unknown section, did you mean service?",
                "[zzz]: unknown section",
            ),
        )

    def test_each_problem_once(self) -> None:
        self.assertEqual(
            self.problems("[broker]\nusername = %\npassword = x\n[service]\nsentry = %"),
            (
                "[service] sentry: a % must be written as %%",
                "[broker] username: a % must be written as %%",
                "[broker] password: needs a username",
            ),
        )

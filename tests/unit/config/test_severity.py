"""Problems that refuse the start, and problems that an agent runs with."""

from __future__ import annotations

from pathlib import Path

from tests.unit.config.bench import ConfigBench
from upparat.config import reader as config
from upparat.config.reader import ConfigError
from upparat.config.settings import Settings
from upparat.job import Hook


class SeverityTests(ConfigBench):
    def run_with(self, text: str) -> Settings:
        return config.load(self.write(text), "thing", must_run=True)

    def assert_runs(self, text: str, *, unfit: bool = False) -> Settings:
        settings = self.run_with(text)
        self.assertEqual(len(settings.problems), 1, settings.problems)
        self.assertEqual(settings.unfit, settings.problems[0] if unfit else "")
        self.assertRaises(ConfigError, self.load, text)
        return settings

    def test_no_problem(self) -> None:
        settings = self.run_with("")
        self.assertEqual((settings.problems, settings.unfit), ((), ""))

    def test_without_a_safe_connection_there_is_no_start(self) -> None:
        for line in (
            "port = x",
            "port = 0",
            "client_id = $x",
            "cafile = /none",
            "password = x",
            "proxy = ftp://h",
            "host = %(x)s",
            "hostt = h",
        ):
            self.assertRaises(ConfigError, self.run_with, f"[broker]\n{line}\n")

    def test_a_misspelt_section_of_the_broker(self) -> None:
        """Without it the agent would connect to this very device, in plain."""
        for name in ("Broker", "brokr", "BROKER"):
            text = f"[{name}]\nhost = mqtt.example.com\ncafile = /none\n"
            self.assertRaises(ConfigError, self.run_with, text)

    def test_without_a_connection_its_problems_are_none(self) -> None:
        for text in (
            "[broker]\nport = x\ncafile = /none\nhostt = h\n",
            "[brokr]\nhost = h\n",
            "[service]\njob_id_prefix = a/b\n",
        ):
            settings = config.load(self.write(text), online=False)
            self.assertEqual((settings.problems, settings.unfit), ((), ""))
        text = "[broker]\nport = x\n[verify]\nrequire = x\n"
        self.assertRaises(ConfigError, config.load, self.write(text), online=False)
        settings = config.load(self.write(text), must_run=True, online=False)
        self.assertEqual(len(settings.problems), 1)
        self.assertIn("[verify] require", settings.unfit)

    def test_the_jobs_of_others_are_not_taken(self) -> None:
        text = "[service]\njob_id_prefix = a/b\n"
        self.assertRaises(ConfigError, self.run_with, text)

    def test_a_file_that_is_refused_names_all_its_problems(self) -> None:
        text = "[hooks]\nready = /none\ntimeout = x\n[broker]\nport = x\n[more]\n"
        error = self.assertRaises(ConfigError, self.run_with, text)
        self.assertEqual(
            [problem.partition(":")[0] for problem in error.problems],
            ["[broker] port", "[hooks] timeout", "[hooks] ready", "[more]"],
        )

    def test_a_time_has_its_default(self) -> None:
        for option in ("keepalive = 1", "connect_timeout = soon"):
            self.assertEqual(self.assert_runs(f"[broker]\n{option}\n").broker, self.load().broker)
        for option in ("poll_interval = 0", "log_level = LOUD", "sentry_dsn = nonsense"):
            settings = self.assert_runs(f"[service]\n{option}\n")
            self.assertEqual(settings.service, self.load().service)
        self.assertEqual(self.assert_runs("[hooks]\ntimeout = x\n").hooks, self.load().hooks)
        settings = self.assert_runs("[download]\nmax_rate = -1\n")
        self.assertEqual(settings.download, self.load().download)

    def test_what_a_newer_agent_may_know(self) -> None:
        for text in ("[broker]\nzzz = 1\n", "[service]\nzzz = 1\n", "[zzz]\n"):
            self.assert_runs(text)

    def test_a_wrong_command_fails_its_job(self) -> None:
        for text, command in (
            ("/none --flag", ("/none", "--flag")),
            ("no-such-command", ("no-such-command",)),
            ('"', ('"',)),
            (f"{self.script('plain', 0o644)}", (str(self.directory / "plain"),)),
        ):
            settings = self.assert_runs(f"[hooks]\nready = {text}\n")
            self.assertEqual(settings.hooks.commands, {Hook.READY: command})

    def test_a_directory_that_cannot_be_written_to(self) -> None:
        text = f"[service]\nstate_dir = {self.hook}/x\n"
        settings = self.assert_runs(text)
        self.assertEqual(settings.service.state_dir, self.hook / "x")

    def test_a_directory_with_nul(self) -> None:
        settings = self.assert_runs("[service]\nstate_dir = /none/a\0b\n")
        self.assertEqual(settings.problems[0], "[service] state_dir: holds a NUL character")
        self.assertEqual(settings.service.state_dir, Path("/none/a?b"))

    def test_a_user_without_a_home(self) -> None:
        self.patch(config, "default_state", lambda: Path("~/.local/state/upparat"))
        settings = self.assert_runs(f"[service]\ndownload_location = {self.directory}\n")
        self.assertEqual(settings.service.state_dir, Path(self.directory, "upparat", ".state"))

    def test_no_place_for_the_state(self) -> None:
        """Root could make its own everywhere."""
        self.patch(config, "default_state", lambda: self.hook / "state")
        settings = self.assert_runs(f"[service]\ndownload_location = {self.directory}\n")
        second = Path(self.directory, "upparat", ".state")
        self.assertEqual(settings.service.state_dir, second)
        self.assertIn(f"; {second} is used, which a reboot may empty", settings.problems[0])

    def test_no_file_comes_that_might_have_to_be_refused(self) -> None:
        for text in (
            "[verify]\nrequire = all\n",
            "[verify]\npublic_keys = /none\n",
            "[verify]\nrequir = signature\n",
            "[verfy]\nrequire = signature\n",
            "[VERIFY]\nrequire = signature\n",
            "[DEFAULT]\nrequire = all\n",
            "[download]\ncafile = /none\n",
            "[download]\nproxy = ftp://h\n",
            "[hooks]\ninstall_stream = ys\n",
            "[hooks]\ninstall_url = ys\n",
            "[hooks]\ninstall = sh\ninstall_url = yes\n[verify]\nrequire = digest\n",
            "[policy]\nrestart = at night\n",
            "[policy]\nrestart = window\n",
            "[policy]\nwindow = 2-5\n",
            "[policy]\nwindows = 02:00-05:00\n",
            "[Policy]\nrestart = ask\n",
        ):
            self.assert_runs(text, unfit=True)

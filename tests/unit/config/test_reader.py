"""The reader: files, and the options that need others or the environment."""

from __future__ import annotations

import socket
from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from tests.support.anyjson import RELAXED
from tests.support.certs import make_certs
from tests.unit.config.bench import PROXY, ConfigBench
from upparat.config import reader as config
from upparat.config.address import ListenAddress
from upparat.config.reader import ConfigError
from upparat.config.settings import ControlSettings, Require
from upparat.job import Hook
from upparat.net.proxy import NO_PROXIES, Proxies, parse


class FileTests(ConfigBench):
    def test_missing(self) -> None:
        path = self.directory / "missing.conf"
        error = self.assertRaises(ConfigError, config.load, path)
        self.assertEqual(error.problems, (f"{path}: No such file or directory",))
        self.assertEqual(str(error), error.problems[0])

    def test_a_directory(self) -> None:
        error = self.assertRaises(ConfigError, config.load, str(self.directory))
        self.assertEqual(error.problems, (f"{self.directory}: Is a directory",))

    def test_not_ini(self) -> None:
        for text in (
            *("host = x\n", "[broker]\nhost\n", "[broker\n", "[broker]\n[broker]\n"),
            "[broker]\nport = 1\nport = 2\n",
        ):
            (problem,) = self.problems(text)
            self.assertIn(str(self.directory / "upparat.conf"), problem)
            self.assertNotIn("\n", problem)

    def test_not_text(self) -> None:
        (problem,) = self.problems(b"[broker]\nhost = \xff\n")
        self.assertIn(str(self.directory / "upparat.conf"), problem)
        self.assertIn("utf-8", problem)

    @RELAXED
    @given(st.binary() | st.text().map(lambda text: f"[broker]\n{text}".encode()))
    def test_any(self, content: bytes) -> None:
        try:
            config.load(self.write(content), "thing")
        except ConfigError as error:
            self.assertTrue(error.problems)


class EncodingTests(ConfigBench):
    def test_a_byte_order_mark(self) -> None:
        settings = config.load(self.write(b"\xef\xbb\xbf[broker]\nhost = h\n"), "thing")
        self.assertEqual(settings.broker.host, "h")


class ProblemsTests(ConfigBench):
    def test_all_at_once(self) -> None:
        missing = self.directory / "missing"
        text = f"""
[service]
sentry_dsn = nonsense
log_level = LOUD
download_location = {self.hook}
state_dir = {self.hook}/x
job_id_prefix = a/b
progress_interval = -1
poll_interval = 0
[broker]
port = 0
thing_name = a b
client_id = $x
cafile = {missing}
password = x
keepalive = 1
connect_timeout = soon
[hooks]
version = {missing}
download = "
timeout = 0
timeout_ready = nan
retry_interval = -5
max_retries = many
restart_grace = inf
restart_timeout = -1
restart_attempts = 0
kill_on_cancel = perhaps
install_stream = yes
instal = x
[download]
connect_timeout = 0
idle_timeout = 0
max_attempts = 1.5
min_rate = -1
allow_http = 2
[brokr]
"""
        problems = self.problems(text, "")
        self.assertEqual(
            [problem.split(": ")[0] for problem in problems],
            [
                *("[service] download_location", "[service] state_dir", "[service] sentry_dsn"),
                *("[service] log_level", "[service] job_id_prefix"),
                *("[service] progress_interval", "[service] poll_interval"),
                *("[broker] thing_name", "[broker] client_id", "[broker] cafile"),
                *("[broker] certfile, keyfile", "[broker] port", "[broker] password"),
                *("[broker] keepalive", "[broker] connect_timeout"),
                *("[hooks] timeout", "[hooks] version", "[hooks] download"),
                "[hooks] install_stream",
                *("[hooks] timeout_ready", "[hooks] retry_interval", "[hooks] max_retries"),
                *("[hooks] restart_grace", "[hooks] restart_timeout"),
                *("[hooks] restart_attempts", "[hooks] kill_on_cancel"),
                *("[download] connect_timeout", "[download] idle_timeout"),
                *("[download] max_attempts", "[download] min_rate", "[download] allow_http"),
                *("[hooks] instal", "[brokr]"),
            ],
        )

    def test_time_outs_of_hooks(self) -> None:
        hooks = self.option("hooks", "timeout_ready = 1", "timeout = 2")
        self.assertEqual(hooks.timeouts, {**dict.fromkeys(Hook, 2.0), Hook.READY: 1.0})
        for hook in Hook:
            self.assertEqual(
                self.problem("hooks", f"timeout_{hook} = 0.5"),
                f"[hooks] timeout_{hook}: must be 1 seconds or more, not 0.5",
            )

    def test_install_stream(self) -> None:
        self.assertIs(
            self.option("hooks", "install_stream = yes", "install = sh").install_stream, True
        )
        self.assertEqual(
            self.problem("hooks", "install_stream = yes"), "[hooks] install_stream: needs install"
        )

    def test_install_url(self) -> None:
        self.assertIs(self.option("hooks", "install_url = yes", "install = sh").install_url, True)
        self.assertEqual(
            self.problem("hooks", "install_url = yes"), "[hooks] install_url: needs install"
        )
        self.assertEqual(
            self.problem("hooks", "install = sh\ninstall_stream = yes\ninstall_url = yes"),
            "[hooks] install_url: does not go with install_stream",
        )

    def test_who_verifies_a_file_that_the_hook_fetches(self) -> None:
        hooks = "[hooks]\ninstall = sh\ninstall_url = yes\n"
        self.assertEqual(
            list(self.problems(f"{hooks}[verify]\nrequire = digest\n")),
            [
                "[verify] require: digest cannot be checked with [hooks] install_url: needs "
                "installer_verifies = yes, and an installer that does"
            ],
        )
        said = f"{hooks}[verify]\nrequire = digest\ninstaller_verifies = yes\n"
        self.assertIs(self.load(said).verify.installer_verifies, True)
        self.assertEqual(
            self.problem("verify", "installer_verifies = yes"),
            "[verify] installer_verifies: needs [hooks] install_url",
        )

    def test_a_file_that_the_hook_fetches_is_not_kept(self) -> None:
        text = "[hooks]\ninstall = sh\ninstall_url = yes\n[delta]\nkeep = yes\n"
        self.assertEqual(
            list(self.problems(text)),
            ["[delta] keep: is of no use with install_url, which stores no file"],
        )

    def test_a_least_rate_that_the_highest_does_not_admit(self) -> None:
        self.assertEqual(
            self.problem("download", "max_rate = 1000\nmin_rate = 1001"),
            "[download] min_rate: is more than max_rate",
        )
        self.assertEqual(
            self.problem("download", "max_rate = 99"), "[download] min_rate: is more than max_rate"
        )
        for options in ("max_rate = 100", "max_rate = 0\nmin_rate = 5000", "min_rate = 0"):
            self.assertFalse(self.load(f"[download]\n{options}").problems)

    def test_password_without_a_user(self) -> None:
        self.assertEqual(
            self.problem("broker", "password = x"), "[broker] password: needs a username"
        )
        self.assertEqual(self.option("broker", "username = x").password, "")


class ThingTests(ConfigBench):
    def thing(self, text: str, thing_name: str = "") -> str:
        return self.load(text, thing_name).broker.thing_name

    def test_from_the_file(self) -> None:
        self.assertEqual(self.thing("[broker]\nthing_name = a:B_c-9"), "a:B_c-9")

    def test_override(self) -> None:
        self.assertEqual(self.thing("[broker]\nthing_name = a", "b"), "b")
        self.assertEqual(self.thing("[broker]\nthing_name = %", "b"), "b")
        self.assertEqual(self.thing("", "b"), "b")

    def test_host_name(self) -> None:
        with patch.object(socket, "gethostname", lambda: "board-7"):
            self.assertEqual(self.thing(""), "board-7")
            self.assertEqual(config.load(None).broker.thing_name, "board-7")

    def test_a_host_name_that_is_no_thing_name(self) -> None:
        with patch.object(socket, "gethostname", lambda: "board.example.com"):
            (problem,) = self.problems("", "")
        self.assertIn("[broker] thing_name: 'board.example.com'", problem)

    def test_bad_names(self) -> None:
        for name in ("a b", "a/b", "+", "é", "x" * 129, "a%b", "%(host)s"):
            for text, override in (
                (f"[broker]\nthing_name = {name.replace('%', '%%')}", ""),
                ("", name),
            ):
                (problem,) = self.problems(text, override)
                self.assertTrue(problem.startswith(f"[broker] thing_name: {name!r} "), problem)


class AliasTests(ConfigBench):
    def test_alias(self) -> None:
        self.assertEqual(
            self.option("service", "sentry = https://k@h/1").sentry_dsn, "https://k@h/1"
        )
        service = self.option("service", "sentry = https://k@h/1", "sentry_dsn = https://k@h/2")
        self.assertEqual(service.sentry_dsn, "https://k@h/2")


class VerifyTests(ConfigBench):
    def setUp(self) -> None:
        super().setUp()
        self.certs = make_certs(self.directory / "certs")

    def test_no_key(self) -> None:
        self.assertEqual(
            self.problem("verify", "require = signature"),
            "[verify] require: signature needs public_keys or cafile",
        )
        self.assertEqual(self.option("verify", "require = Digest").require, Require.DIGEST)

    def test_authorities_are_keys_enough(self) -> None:
        options = ("require = signature", f"cafile = {self.certs.cafile}")
        self.assertEqual(len(self.option("verify", *options).authorities), 1)

    def test_the_version_may_stay_unsigned(self) -> None:
        self.assertIs(self.option("verify", "bind_version = no").bind_version, False)

    def test_a_product(self) -> None:
        for name in ("A", "board A", "a.b_c:d+e-f", "x" * 128):
            options = (f"cafile = {self.certs.cafile}", f"product = {name}")
            self.assertEqual(self.option("verify", *options).product, name)
        keys = f"public_keys = {self.certs.client_cert}"
        self.assertEqual(self.option("verify", keys, "product =  A ").product, "A")

    def test_a_product_with_other_characters(self) -> None:
        for name in ("é", "a/b", "a\tb", "x" * 129, "a\n  version: 2"):
            problem = self.problem("verify", f"cafile = {self.certs.cafile}", f"product = {name}")
            self.assertIn("holds other characters than those of a product", problem)

    def test_a_product_needs_signatures_that_name_it(self) -> None:
        keys = f"cafile = {self.certs.cafile}"
        needs = "[verify] product: needs"
        self.assertEqual(self.problem("verify", "product = A"), f"{needs} public_keys or cafile")
        self.assertEqual(
            self.problem("verify", keys, "product = A", "bind_version = no"),
            f"{needs} bind_version = yes",
        )
        both = self.problems("[verify]\nproduct = A\nbind_version = no")
        self.assertEqual(both, (f"{needs} public_keys or cafile", f"{needs} bind_version = yes"))

    def test_downgrades_need_the_version(self) -> None:
        self.assertEqual(
            self.problem("verify", "allow_downgrade = no"),
            "[verify] allow_downgrade: no needs [hooks] version",
        )


class InventoryTests(ConfigBench):
    def inventory(self, *options: str) -> str:
        return "\n".join([f"[hooks]\nversion = {self.hook}\n[inventory]", *options])

    def test_a_package_needs_the_version_hook(self) -> None:
        needs = "[inventory] package: needs [hooks] version"
        self.assertEqual(self.problem("inventory", "package = app"), needs)
        settings = config.load(self.write("[inventory]\npackage = app\n"), "t", must_run=True)
        self.assertEqual((settings.inventory.package, settings.problems), ("", (needs,)))
        self.assertEqual(settings.unfit, "")

    def test_a_hook_needs_a_package(self) -> None:
        text = self.inventory(f"hook = {self.hook}")
        self.assertEqual(self.problems(text), ("[inventory] hook: needs package",))

    def test_a_hook_that_cannot_be_run(self) -> None:
        text = self.inventory("package = app", "hook = /none --all")
        self.assertEqual(self.problems(text), ("[inventory] hook: '/none' was not found",))
        settings = config.load(self.write(text), "t", must_run=True)
        self.assertEqual(settings.inventory.hook, ("/none", "--all"))

    def test_package_names(self) -> None:
        for name in ("a" * 128, "my.app_1-x"):
            settings = self.load(self.inventory(f"package = {name}"))
            self.assertEqual(settings.inventory.package, name)
        for name in ("a" * 129, "a/b", "a b", "a:b", "é"):
            (problem,) = self.problems(self.inventory(f"package = {name}"))
            self.assertIn("other characters than those of a package name", problem)


class PolicyTests(ConfigBench):
    def test_a_window_is_needed(self) -> None:
        for step in ("download", "install", "restart"):
            for rule in ("window", "ask-or-window"):
                told = self.problem("policy", f"{step} = {rule}")
                self.assertEqual(told, f"[policy] {step}: {rule} needs window")

    def test_somebody_has_to_be_able_to_answer(self) -> None:
        text = "[policy]\ninstall = ask\n[control]\nsocket = off\n"
        self.assertEqual(self.problems(text), ("[policy] install: ask needs [control] socket",))
        self.load("[policy]\ninstall = ask-or-window\nwindow = 02:00-05:00\n[control]\nsocket =\n")

    def test_each_option_names_its_problem(self) -> None:
        for line, problem in (
            ("restart = sometimes", "'sometimes' is none of always, window, ask, ask-or-window"),
            ("window = Mo 02:00-05:00", "'Mo' is no weekday: Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("deadline = 7", "'7' is no duration, such as 90s, 30m, 2h or 7d"),
            ("clock_patience = 0s", "'0s' is no time at all"),
            ("users = root nobody-at-all", "the system has no user 'nobody-at-all'"),
            ("timezone = Europe/Berlin", "needs window"),
        ):
            told = self.problem("policy", line)
            self.assertEqual(told, f"[policy] {line.partition(' ')[0]}: {problem}")

    def test_a_zone_that_is_unknown(self) -> None:
        told = self.problem("policy", "window = 02:00-05:00", "timezone = Mars/Base")
        self.assertEqual(told, "[policy] timezone: the device knows no time zone 'Mars/Base'")


class ProxyTests(ConfigBench):
    def test_the_environment_is_for_downloads(self) -> None:
        self.environ["https_proxy"] = "http://proxy.example.com:3128"
        self.assertEqual(self.option("download", "").proxy, Proxies(None, PROXY))
        self.assertIsNone(self.option("broker", "").proxy)

    def test_the_file_comes_first(self) -> None:
        self.environ.update(https_proxy="junk:", no_proxy="*")
        option = "proxy = http://proxy.example.com:3128"
        self.assertEqual(self.option("download", option).proxy, Proxies(PROXY, PROXY))
        self.assertEqual(self.option("download", "proxy = None").proxy, NO_PROXIES)
        self.environ.pop("https_proxy")
        self.assertIsNone(self.option("broker", "proxy = none").proxy)

    def test_what_cannot_be_used(self) -> None:
        for section in ("broker", "download"):
            for value in ("proxy", "socks5://me:se/cret@h:1", "http://me:se/cret@h", "http://h:0"):
                problem = self.problem(section, f"proxy = {value}")
                self.assertTrue(problem.startswith(f"[{section}] proxy: "), problem)
                self.assertNotIn("cret", problem)

    def test_an_environment_that_cannot_be_used(self) -> None:
        self.environ["HTTPS_PROXY"] = "socks5://me:secret@h:1"
        self.assertEqual(
            self.problem("download"),
            "[download] proxy: HTTPS_PROXY in the environment is no HTTP proxy: only http:// is "
            "supported; none ignores it",
        )

    def test_credentials_do_not_show(self) -> None:
        option = "proxy = http://me:secret@h:1"
        settings = self.load(f"[broker]\n{option}\n[download]\n{option}")
        self.assertNotIn("Basic", repr(settings))
        self.assertEqual(settings.broker.proxy, settings.download.proxy.http)
        self.assertEqual(settings.broker.proxy, parse("http://me:secret@h:1"))


class ControlTests(ConfigBench):
    def test_a_relative_path_counts_from_here(self) -> None:
        found = self.option("control", "socket = c.sock").socket
        self.assertEqual(found, Path("c.sock").absolute())

    def test_off(self) -> None:
        for text in ("off", "OFF", ""):
            self.assertIsNone(self.option("control", f"socket = {text}").socket, text)

    def test_a_path_that_no_socket_can_have(self) -> None:
        path = "/" + "x" * 107
        self.assertEqual(
            self.problem("control", f"socket = {path}"),
            f"[control] socket: {path} is longer than 107 bytes",
        )

    def test_the_group(self) -> None:
        self.assertEqual(self.option("control", "group = root").group, "root")
        self.assertEqual(
            self.problem("control", "group = no-such-group"),
            "[control] group: the system has no group 'no-such-group'",
        )

    def test_the_mode(self) -> None:
        self.assertEqual(self.option("control", "mode = 666").mode, "666")
        for wrong in ("0o660", "0680", "1660", "rw-rw----"):
            self.assertEqual(
                self.problem("control", f"mode = {wrong}"),
                f"[control] mode: {wrong!r} is no mode of three octal digits",
            )

    def test_no_problem_keeps_the_agent_from_starting(self) -> None:
        text = "[control]\nsocket = /" + "x" * 107 + "\nmode = 9\ngroup = no-such-group"
        settings = config.load(self.write(text), "thing", must_run=True)
        self.assertEqual(settings.control, ControlSettings(socket=None))
        self.assertEqual((len(settings.problems), settings.unfit), (3, ""))

    def test_the_page(self) -> None:
        for text in ("", "off", "OFF"):
            self.assertIsNone(self.option("control", f"http = {text}").http, text)
        found = self.option("control", "http = localhost:9110").http
        self.assertEqual(found, ListenAddress("127.0.0.1", 9110))
        self.assertEqual(
            self.problem("control", "http = 9110"),
            "[control] http: '9110' is not of the form ADDRESS:PORT",
        )

    def test_a_page_that_others_can_reach(self) -> None:
        option = "http = 10.0.0.1:9110"
        self.assertEqual(
            self.problem("control", option),
            "[control] http: others can reach 10.0.0.1: needs http_anywhere = yes",
        )
        settings = config.load(self.write(f"[control]\n{option}"), "thing", must_run=True)
        self.assertIsNone(settings.control.http)
        found = self.option("control", f"{option}\nhttp_anywhere = yes").http
        self.assertEqual(found, ListenAddress("10.0.0.1", 9110))

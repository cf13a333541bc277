"""The configuration: options, defaults, and all that can be wrong with them."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import RELAXED
from tests.support.certs import Certs, make_certs
from tests.support.minisign import make_minisign_keys
from upparat.config import reader as config
from upparat.config.reader import ConfigError
from upparat.config.settings import Broker, Download, Hooks, Require, Service, Settings, Verify
from upparat.job import Downgrades, Hook
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy, parse
from upparat.signing.keys import PublicKey, load_keys

PROXY = Proxy("proxy.example.com", 3128)

ALL = """
[service]
sentry_dsn = https://key@sentry.example.com/42
log_level = debug
download_location = {directory}/downloads
state_dir = {directory}/memory
job_id_prefix = upparat_
progress_interval = 0.5
poll_interval = 60

[broker]
host = mqtt.example.com
port = 8883
thing_name = my:thing-1
client_id = agent 1
cafile = {certs.cafile}
certfile = {certs.client_cert}
keyfile = {certs.client_key}
username = me
password = se;cr#et
keepalive = 1200
connect_timeout = 5
proxy = http://a%%40b:se%%3Acret@[::1]:8080/

[hooks]
version = {hook} version
download = {hook}
install = {hook} --slot "B 1" 'x y'
restart = {hook} restart
ready = {hook} ready
timeout = 100
timeout_install = 7200.5
retry_interval = 1.5
max_retries = 3
restart_grace = 2
restart_timeout = 90
restart_attempts = 5
kill_on_cancel = yes
install_stream = yes

[download]
connect_timeout = 3
idle_timeout = 4
max_attempts = 7
max_rate = 100000
allow_http = on
cafile = {certs.cafile}
proxy = http://proxy.example.com:3128

[verify]
require = signature
public_keys = {certs.client_cert} {certs.server_cert}
cafile = {certs.cafile}
bind_version = no
allow_downgrade = forced
"""

DEFAULTS: dict[str, dict[str, Any]] = {
    "service": {
        "sentry_dsn": "",
        "log_level": "WARNING",
        "job_id_prefix": "",
        "progress_interval": 5.0,
        "poll_interval": 300.0,
    },
    "broker": {
        "host": "127.0.0.1",
        "port": 1883,
        "client_id": "upparat",
        "cafile": "",
        "certfile": "",
        "keyfile": "",
        "username": "",
        "password": "",
        "keepalive": 60,
        "connect_timeout": 30.0,
        "proxy": None,
    },
    "hooks": {
        "commands": {},
        "timeouts": dict.fromkeys(Hook, 3600.0),
        "retry_interval": 60.0,
        "max_retries": 60,
        "restart_grace": 10.0,
        "restart_timeout": 300.0,
        "restart_attempts": 3,
        "kill_on_cancel": False,
        "install_stream": False,
    },
    "download": {
        "connect_timeout": 30.0,
        "idle_timeout": 60.0,
        "max_attempts": 30,
        "max_rate": 0,
        "allow_http": False,
        "cafile": "",
        "proxy": NO_PROXIES,
    },
    "verify": {
        "require": Require.NONE,
        "keys": (),
        "authorities": (),
        "bind_version": True,
        "allow_downgrade": Downgrades.YES,
    },
}


class ConfigBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.hook = self.script("hook")
        self.environ = self.environment()

    def environment(self) -> MutableMapping[str, str]:
        """Ours without proxies, until the test is over."""
        patched = patch.dict(os.environ)
        patched.start()
        self.addCleanup(patched.stop)
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
        return os.environ

    def script(self, name: str, mode: int = 0o755) -> Path:
        path = self.directory / name
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
        return path

    def write(self, text: str | bytes) -> Path:
        path = self.directory / "upparat.conf"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text: str = "", thing_name: str = "thing") -> Settings:
        return config.load(self.write(text), thing_name)

    def problems(self, text: str | bytes, thing_name: str = "thing") -> tuple[str, ...]:
        with self.assertRaises(ConfigError) as caught:
            config.load(self.write(text), thing_name)
        problems: tuple[str, ...] = caught.exception.problems
        return problems

    def problem(self, section: str, *options: str) -> str:
        """The only problem of a section with these options."""
        (problem,) = self.problems("\n".join([f"[{section}]", *options]))
        return problem

    def option(self, section: str, *options: str) -> Any:
        """The settings of a section with these options."""
        return getattr(self.load("\n".join([f"[{section}]", *options])), section)


def public_keys(file: str) -> list[PublicKey]:
    return load_keys(Path(file).read_bytes())


def certificate(file: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(file).read_bytes())


class OptionsTests(ConfigBench):
    def test_all(self) -> None:
        certs = make_certs(self.directory / "certs")
        text = ALL.format(directory=self.directory, certs=certs, hook=self.hook)
        hook = str(self.hook)
        self.assertEqual(
            config.load(self.write(text)),
            Settings(
                Service(
                    sentry_dsn="https://key@sentry.example.com/42",
                    log_level="DEBUG",
                    download_location=self.directory / "downloads" / "upparat",
                    state_dir=self.directory / "memory",
                    job_id_prefix="upparat_",
                    progress_interval=0.5,
                    poll_interval=60.0,
                ),
                Broker(
                    host="mqtt.example.com",
                    port=8883,
                    thing_name="my:thing-1",
                    client_id="agent 1",
                    cafile=certs.cafile,
                    certfile=certs.client_cert,
                    keyfile=certs.client_key,
                    username="me",
                    password="se;cr#et",
                    keepalive=1200,
                    connect_timeout=5.0,
                    proxy=Proxy("::1", 8080, "Basic YUBiOnNlOmNyZXQ="),
                ),
                Hooks(
                    commands={
                        Hook.VERSION: (hook, "version"),
                        Hook.DOWNLOAD: (hook,),
                        Hook.INSTALL: (hook, "--slot", "B 1", "x y"),
                        Hook.RESTART: (hook, "restart"),
                        Hook.READY: (hook, "ready"),
                    },
                    timeouts={**dict.fromkeys(Hook, 100.0), Hook.INSTALL: 7200.5},
                    retry_interval=1.5,
                    max_retries=3,
                    restart_grace=2.0,
                    restart_timeout=90.0,
                    restart_attempts=5,
                    kill_on_cancel=True,
                    install_stream=True,
                ),
                Download(
                    connect_timeout=3.0,
                    idle_timeout=4.0,
                    max_attempts=7,
                    max_rate=100_000,
                    allow_http=True,
                    cafile=certs.cafile,
                    proxy=Proxies(PROXY, PROXY),
                ),
                Verify(
                    require=Require.SIGNATURE,
                    keys=(*public_keys(certs.client_cert), *public_keys(certs.server_cert)),
                    authorities=(certificate(certs.cafile),),
                    bind_version=False,
                    allow_downgrade=Downgrades.FORCED,
                ),
            ),
        )

    def test_all_means_all(self) -> None:
        """No option that the settings have may be missing above."""
        for section in dataclasses.fields(Settings):
            part = ALL.partition(f"[{section.name}]")[2].partition("\n[")[0]
            kind = {
                "service": Service,
                "broker": Broker,
                "hooks": Hooks,
                "download": Download,
                "verify": Verify,
            }
            names = {"keys": "public_keys", "authorities": "cafile"}
            for option in dataclasses.fields(kind[section.name]):
                if option.name not in ("commands", "timeouts"):
                    self.assertIn(f"\n{names.get(option.name, option.name)} = ", part)

    def test_defaults(self) -> None:
        settings = self.load()
        for section, options in DEFAULTS.items():
            for name, value in options.items():
                self.assertEqual(getattr(getattr(settings, section), name), value, name)
        self.assertFalse(settings.broker.tls)
        directory = Path(tempfile.gettempdir(), "upparat").absolute()
        self.assertEqual(settings.service.download_location, directory)
        self.assertEqual(settings.service.state_dir, directory / ".state")

    def test_without_a_file(self) -> None:
        self.assertEqual(config.load(None, "thing"), self.load())

    def test_defaults_of_the_values_are_those_of_the_file(self) -> None:
        settings, values = self.load(), Settings()
        self.assertEqual(settings.hooks, values.hooks)
        self.assertEqual(settings.download, values.download)
        self.assertEqual(settings.verify, values.verify)
        self.assertEqual(settings.broker, dataclasses.replace(values.broker, thing_name="thing"))
        self.assertEqual(settings.service, values.service)

    def test_an_empty_option_is_a_missing_one(self) -> None:
        names = {section: [*options] for section, options in DEFAULTS.items()}
        names["hooks"] = [name for name in names["hooks"] if name not in ("commands", "timeouts")]
        names["hooks"] += [*Hook, "timeout", *(f"timeout_{hook}" for hook in Hook)]
        names["verify"] = ["public_keys", "cafile", "require", "bind_version", "allow_downgrade"]
        names["service"] += ["download_location", "state_dir", "sentry"]
        text = "".join(
            f"[{section}]\n" + "".join(f"{name} =\n" for name in options)
            for section, options in names.items()
        )
        self.assertEqual(self.load(text), self.load())

    def test_settings_are_frozen(self) -> None:
        settings = self.load(f"[hooks]\nversion = {self.hook}")
        for part in (settings, settings.service, settings.broker, settings.hooks):
            self.assertRaises(dataclasses.FrozenInstanceError, setattr, part, "host", "x")
        for mapping in (settings.hooks.commands, settings.hooks.timeouts):
            self.assertNotIsInstance(mapping, MutableMapping)

    def test_secrets_do_not_show(self) -> None:
        settings = self.load(
            "[service]\nsentry_dsn = https://secret@h/1\n[broker]\nusername = me\npassword = secret"
        )
        self.assertNotIn("secret", repr(settings))

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
                *(f"[hooks] timeout_{h}" for h in ("version", "download", "install", "restart")),
                *("[hooks] timeout_ready", "[hooks] retry_interval", "[hooks] max_retries"),
                *("[hooks] restart_grace", "[hooks] restart_timeout"),
                *("[hooks] restart_attempts", "[hooks] kill_on_cancel"),
                *("[download] connect_timeout", "[download] idle_timeout"),
                *("[download] max_attempts", "[download] allow_http"),
                *("[hooks] instal", "[brokr]"),
            ],
        )

    def test_whole_numbers(self) -> None:
        for section, name, least in (
            ("hooks", "max_retries", 1),
            ("hooks", "restart_attempts", 1),
            ("download", "max_attempts", 1),
        ):
            self.assertEqual(getattr(self.option(section, f"{name} = {least}"), name), least)
            self.assertEqual(
                self.problem(section, f"{name} = {least - 1}"),
                f"[{section}] {name}: must be {least} or more, not {least - 1}",
            )
            for odd in ("x", "1.0", "1e3", "nan", "9" * 5000):
                self.assertEqual(
                    self.problem(section, f"{name} = {odd}"),
                    f"[{section}] {name}: {odd!r} is not a whole number",
                )

    def test_whole_numbers_with_two_ends(self) -> None:
        for name, least, most in (("port", 1, 65535), ("keepalive", 5, 65535)):
            for value in (least, most):
                self.assertEqual(getattr(self.option("broker", f"{name} = {value}"), name), value)
            for value in (least - 1, most + 1):
                self.assertEqual(
                    self.problem("broker", f"{name} = {value}"),
                    f"[broker] {name}: must be {least} to {most}, not {value}",
                )

    def test_seconds(self) -> None:
        for section, name, least in (
            ("service", "progress_interval", 0.0),
            ("service", "poll_interval", 1.0),
            ("broker", "connect_timeout", 1.0),
            ("hooks", "retry_interval", 0.0),
            ("hooks", "restart_grace", 0.0),
            ("hooks", "restart_timeout", 0.0),
            ("download", "connect_timeout", 0.1),
            ("download", "idle_timeout", 0.1),
        ):
            for value in (least, 1e6):
                found = getattr(self.option(section, f"{name} = {value}"), name)
                self.assertEqual(found, value)
            for text in (str(least - 0.01), "inf", "nan", "-1e9"):
                self.assertEqual(
                    self.problem(section, f"{name} = {text}"),
                    f"[{section}] {name}: must be {least:g} seconds or more, not {float(text):g}",
                )
            self.assertEqual(
                self.problem(section, f"{name} = 5s"),
                f"[{section}] {name}: '5s' is not a number of seconds",
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

    def test_flags(self) -> None:
        for section, name in (("hooks", "kill_on_cancel"), ("download", "allow_http")):
            for text in ("yes", "True", "on", "1"):
                self.assertIs(getattr(self.option(section, f"{name} = {text}"), name), True)
            for text in ("no", "FALSE", "off", "0"):
                self.assertIs(getattr(self.option(section, f"{name} = {text}"), name), False)
            self.assertEqual(
                self.problem(section, f"{name} = maybe"),
                f"[{section}] {name}: 'maybe' is neither yes nor no",
            )

    def test_log_level(self) -> None:
        for level in ("DEBUG", "info", "Warning", "ERROR", "exception"):
            found = self.option("service", f"log_level = {level}").log_level
            self.assertEqual(found, level.upper())
        self.assertEqual(
            self.problem("service", "log_level = loud"),
            "[service] log_level: 'LOUD' is none of DEBUG, INFO, WARNING, ERROR, EXCEPTION",
        )

    def test_client_id(self) -> None:
        for client_id in ("x", "é" * 64, "x" * 128):
            found = self.option("broker", f"client_id = {client_id}").client_id
            self.assertEqual(found, client_id)
        for client_id in ("$x", "é" * 65, "x" * 129):
            self.assertEqual(
                self.problem("broker", f"client_id = {client_id}"),
                "[broker] client_id: must be 1 to 128 bytes that do not start with $",
            )

    def test_job_id_prefix(self) -> None:
        self.assertEqual(self.option("service", "job_id_prefix = A-z_9").job_id_prefix, "A-z_9")
        for prefix in ("a:b", "é", "x" * 65):
            self.assertIn(
                "[service] job_id_prefix: ", self.problem("service", f"job_id_prefix = {prefix}")
            )

    def test_password_without_a_user(self) -> None:
        self.assertEqual(
            self.problem("broker", "password = x"), "[broker] password: needs a username"
        )
        self.assertEqual(self.option("broker", "username = x").password, "")

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


class SentryTests(ConfigBench):
    def test_good(self) -> None:
        for dsn in ("https://k@h/1", "http://k:s@h:9000/a/b/1", "https://k@o1.ingest.x.io/42"):
            self.assertEqual(self.option("service", f"sentry_dsn = {dsn}").sentry_dsn, dsn)

    def test_bad(self) -> None:
        """What the SDK refuses must not come to light when the agent has started."""
        for dsn in (
            *("x", "h/1", "k@h/1", "https://h/1", "https://k@/1", "https://k@h", "https://k@h/"),
            *(
                "https://k@h/x",
                "https://k@h/1/",
                "https://k@h:x/1",
                "https://k@[h/1",
                "ftp://k@h/1",
            ),
            "https://k@h:99999/1",
        ):
            self.assertEqual(
                self.problem("service", f"sentry_dsn = {dsn}"),
                "[service] sentry_dsn: is not a Sentry DSN",
            )

    def test_alias(self) -> None:
        self.assertEqual(
            self.option("service", "sentry = https://k@h/1").sentry_dsn, "https://k@h/1"
        )
        service = self.option("service", "sentry = https://k@h/1", "sentry_dsn = https://k@h/2")
        self.assertEqual(service.sentry_dsn, "https://k@h/2")


class TlsTests(ConfigBench):
    def setUp(self) -> None:
        super().setUp()
        self.certs = make_certs(self.directory / "certs")

    def options(self, certs: Certs) -> list[str]:
        return [
            f"cafile = {certs.cafile}",
            f"certfile = {certs.client_cert}",
            f"keyfile = {certs.client_key}",
        ]

    def tls_problem(self, **changes: object) -> str:
        changed = {name: str(value) for name, value in changes.items()}
        return self.problem("broker", *self.options(dataclasses.replace(self.certs, **changed)))

    def junk(self, content: str = "junk") -> Path:
        path = self.directory / "junk.pem"
        path.write_text(content)
        return path

    def test_good(self) -> None:
        self.assertTrue(self.option("broker", *self.options(self.certs)).tls)

    def test_paths_become_absolute(self) -> None:
        """A daemon changes its directory."""
        self.patch_directory(self.directory)
        broker = self.option(
            "broker",
            *("cafile = certs/ca.pem", "certfile = certs/device.pem", "keyfile = certs/device.key"),
        )
        self.assertEqual(
            (broker.cafile, broker.certfile, broker.keyfile),
            (self.certs.cafile, self.certs.client_cert, self.certs.client_key),
        )

    def patch_directory(self, directory: Path) -> None:
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(directory)

    def test_all_or_none(self) -> None:
        options = self.options(self.certs)
        for given_ones, missing in (
            (options[:1], "certfile, keyfile"),
            (options[1:], "cafile"),
            ([options[0], options[2]], "certfile"),
        ):
            self.assertEqual(
                self.problem("broker", *given_ones),
                f"[broker] {missing}: cafile, certfile and keyfile go together, or none",
            )

    def test_unreadable(self) -> None:
        for path in (self.directory / "missing", self.directory):
            for name, member in (
                ("cafile", "cafile"),
                ("certfile", "client_cert"),
                ("keyfile", "client_key"),
            ):
                self.assertEqual(
                    self.tls_problem(**{member: path}), f"[broker] {name}: {path} cannot be read"
                )

    def test_no_authorities(self) -> None:
        for content in ("", "junk", Path(self.certs.client_key).read_text()):
            path = self.junk(content)
            problem = self.tls_problem(cafile=path)
            self.assertTrue(problem.startswith(f"[broker] cafile: {path} holds no certificates: "))

    def test_authorities_of_downloads(self) -> None:
        missing, junk = self.directory / "missing", self.junk()
        self.assertEqual(
            self.problem("download", f"cafile = {missing}"),
            f"[download] cafile: {missing} cannot be read",
        )
        problem = self.problem("download", f"cafile = {junk}")
        self.assertTrue(problem.startswith(f"[download] cafile: {junk} holds no certificates: "))

    def test_no_certificate_or_key(self) -> None:
        start = "[broker] certfile, keyfile: are no certificate and its key: "
        for changes in (
            {"client_cert": self.junk()},
            {"client_key": self.junk()},
            {"client_cert": self.certs.client_key},
            {"client_key": self.certs.client_cert},
            {"client_key": self.certs.server_key},
        ):
            self.assertTrue(self.tls_problem(**changes).startswith(start), changes)

    def test_a_key_with_a_password(self) -> None:
        """Nobody is there to type it."""
        pem = Path(self.certs.client_key).read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
        path = self.directory / "encrypted.key"
        path.write_bytes(encrypted)
        self.assertIn("[broker] certfile, keyfile: ", self.tls_problem(client_key=path))

    def test_both_are_wrong(self) -> None:
        junk = str(self.junk())
        options = self.options(dataclasses.replace(self.certs, cafile=junk, client_key=junk))
        self.assertEqual(len(self.problems("\n".join(["[broker]", *options]))), 2)


class CommandTests(ConfigBench):
    def command(self, text: str) -> tuple[str, ...]:
        hooks: Hooks = self.option("hooks", f"install = {text}")
        assert list(hooks.commands) in ([], [Hook.INSTALL])
        return hooks.commands.get(Hook.INSTALL, ())

    def test_arguments(self) -> None:
        hook = str(self.hook)
        for text, words in (
            ("", ()),
            (hook, (hook,)),
            (f"  {hook}  a  b ", (hook, "a", "b")),
            (f"'{hook}' 'a b' \"c 'd'\" e\\ f ''", (hook, "a b", "c 'd'", "e f", "")),
            (f"{hook} $HOME *; # x", (hook, "$HOME", "*;", "#", "x")),
            (f"{hook}\n  --next line", (hook, "--next", "line")),
        ):
            self.assertEqual(self.command(text), words)

    def test_from_the_path(self) -> None:
        with patch.dict(os.environ, {"PATH": str(self.directory)}):
            self.assertEqual(self.command("hook x"), (str(self.hook), "x"))
        self.assertEqual(self.command(f"{sys.executable} -m x")[1:], ("-m", "x"))

    def test_a_path_with_blanks(self) -> None:
        """1.x took the whole value as the path."""
        script = str(self.script("my hook  1"))
        self.assertEqual(self.command(script), (script,))
        self.assertEqual(self.command(f"'{script}' x"), (script, "x"))

    def test_relative(self) -> None:
        """A daemon changes its directory."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)
        self.assertEqual(self.command("./hook x"), (str(self.hook), "x"))
        self.assertEqual(
            self.problem("hooks", "install = hook"), "[hooks] install: 'hook' was not found"
        )

    def test_not_executable(self) -> None:
        """Root too needs one bit of it."""
        script = self.script("plain", 0o644)
        for text in (f"{script}", f"{script} x"):
            self.assertEqual(
                self.problem("hooks", f"install = {text}"),
                f"[hooks] install: '{script}' is not executable",
            )
        self.assertEqual(
            self.problem("hooks", f"install = {self.directory}"),
            f"[hooks] install: '{self.directory}' is not executable",
        )

    def test_not_found(self) -> None:
        missing = self.directory / "missing"
        for text, name in (
            (f"{missing} x", missing),
            ("no-such-command-here", "no-such-command-here"),
        ):
            self.assertEqual(
                self.problem("hooks", f"install = {text}"),
                f"[hooks] install: '{name}' was not found",
            )
        self.assertIn("[hooks] install: ", self.problem("hooks", "install = ''"))

    def test_open_quote(self) -> None:
        self.assertEqual(
            self.problem("hooks", "install = x 'y"),
            '[hooks] install: "x \'y" cannot be split into words: No closing quotation',
        )

    def test_each_hook(self) -> None:
        for hook in Hook:
            self.assertEqual(
                self.problem("hooks", f"{hook} = /missing"),
                f"[hooks] {hook}: '/missing' was not found",
            )


class DirectoryTests(ConfigBench):
    def test_made_later(self) -> None:
        service = self.option("service", f"download_location = {self.directory}/a/b")
        self.assertEqual(service.download_location, self.directory / "a" / "b" / "upparat")
        self.assertEqual(service.state_dir, self.directory / "a" / "b" / "upparat" / ".state")
        self.assertFalse((self.directory / "a").exists())

    def test_apart(self) -> None:
        service = self.option(
            "service", f"download_location = {self.directory}/a", f"state_dir = {self.directory}/b"
        )
        self.assertEqual(service.state_dir, self.directory / "b")

    def test_relative(self) -> None:
        """A daemon changes its directory."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)
        service = self.option("service", "download_location = a/../b", "state_dir = c")
        self.assertEqual(service.download_location, self.directory / "b" / "upparat")
        self.assertEqual(service.state_dir, self.directory / "c")

    def test_a_file_in_the_way(self) -> None:
        for path in (self.hook, self.hook / "x" / "y"):
            self.assertEqual(
                self.problem("service", f"state_dir = {path}"),
                f"[service] state_dir: {self.hook} is not a directory",
            )
        good = f"state_dir = {self.directory}"
        self.assertEqual(
            self.problem("service", f"download_location = {self.hook}", good),
            f"[service] download_location: {self.hook} is not a directory",
        )

    def test_impossible(self) -> None:
        path = self.directory / ("x" * 300)
        self.assertEqual(
            self.problem("service", f"state_dir = {path}"),
            f"[service] state_dir: {path}: File name too long",
        )

    def test_read_only(self) -> None:
        """Root may write everywhere, so it takes a fake to see it."""
        with patch.object(os, "access", lambda path, mode: path != self.directory):
            self.assertEqual(
                self.problem("service", f"state_dir = {self.directory}"),
                f"[service] state_dir: {self.directory} cannot be written to",
            )


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

    def test_wrong_words(self) -> None:
        for option, words in (
            ("require", "none, digest, signature"),
            ("allow_downgrade", "yes, forced, no"),
        ):
            problem = self.problem("verify", f"{option} = what")
            self.assertEqual(problem, f"[verify] {option}: 'what' is none of {words}")

    def test_keys_that_are_none(self) -> None:
        nothing, missing = self.directory / "nothing", self.directory / "missing"
        nothing.write_text("nothing")
        torn = self.directory / "torn"
        torn.write_text("untrusted comment: ours\nRWQ\n")
        for file, problem in (
            (nothing, "holds no PEM block and no minisign public key"),
            (missing, "cannot be read"),
            (torn, "is no minisign public key: line 2 is not base64"),
        ):
            told = self.problem("verify", f"public_keys = {file}")
            self.assertEqual(told, f"[verify] public_keys: {file} {problem}")
        told = self.problem("verify", f"cafile = {nothing}")
        self.assertIn(f"[verify] cafile: {nothing} holds no certificates", told)

    def test_file_names_with_blanks_and_on_several_lines(self) -> None:
        blank = self.directory / "a key"
        blank.write_bytes(Path(self.certs.client_cert).read_bytes())
        value = f"public_keys = '{blank}'\n    {self.certs.server_cert}"
        self.assertEqual(len(self.option("verify", value).keys), 2)

    def test_keys_of_minisign_beside_others(self) -> None:
        keys = make_minisign_keys(self.directory)
        line = self.directory / "line"
        line.write_text(keys.public.read_text().splitlines()[1])
        files = f"{self.certs.client_cert} {keys.public} {line}"
        _, *ours = self.option("verify", f"public_keys = {files}").keys
        self.assertEqual(ours, public_keys(str(keys.public)) * 2)
        told = self.problem("verify", f"public_keys = {keys.private}")
        problem = "is no minisign public key: line 2 holds 158 bytes, not 42"
        self.assertEqual(told, f"[verify] public_keys: {keys.private} {problem}")

    def test_downgrades_need_the_version(self) -> None:
        self.assertEqual(
            self.problem("verify", "allow_downgrade = no"),
            "[verify] allow_downgrade: no needs [hooks] version",
        )


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

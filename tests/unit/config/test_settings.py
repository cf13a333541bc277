"""The settings: all options, and their defaults."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.certs import make_certs
from tests.unit.config.bench import PROXY, ConfigBench, certificate, public_keys
from upparat.config import reader as config
from upparat.config.address import ListenAddress
from upparat.config.settings import (
    SECTIONS,
    BrokerSettings,
    ControlSettings,
    DeltaSettings,
    DownloadSettings,
    HookSettings,
    InventorySettings,
    LogUpload,
    PolicySettings,
    Require,
    ServiceSettings,
    Settings,
    StepTimeout,
    VerifySettings,
    default_downloads,
    default_state,
)
from upparat.job import Downgrades, Hook
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy
from upparat.policy.rules import StepRule
from upparat.policy.windows import parse_windows
from upparat.runtime import default_socket

ALL = """
[service]
sentry_dsn = https://key@sentry.example.com/42
log_level = debug
download_location = {directory}/downloads
state_dir = {directory}/memory
job_id_prefix = upparat_
progress_interval = 0.5
poll_interval = 60
log_upload = always
log_upload_timeout = 2.5
step_timeout = Auto

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
install_url = no

[download]
connect_timeout = 3
idle_timeout = 4
max_attempts = 7
max_rate = 100000
min_rate = 50
allow_http = on
cafile = {certs.cafile}
proxy = http://proxy.example.com:3128

[verify]
require = signature
public_keys = {certs.client_cert} {certs.server_cert}
cafile = {certs.cafile}
bind_version = yes
product = board A:1.0+x_y
allow_downgrade = forced
installer_verifies = no

[inventory]
package = my.app_1-x
hook = {hook} inventory
[control]
socket = /run/device/control.sock
mode = 0600
group = root
http = 10.0.0.1:9110
http_anywhere = yes
[delta]
seeds = /dev/a "/srv/b c"
keep = no
[policy]
download = always
install = Window
restart = ask-or-window
window = 02:00-05:00, Sat-Sun 22:00-06:00
timezone = Europe/Berlin
deadline = 7d
clock_patience = 2h
force_skips_policy = yes
users = root 1000
"""


DEFAULTS: dict[str, dict[str, Any]] = {
    "service": {
        "sentry_dsn": "",
        "log_level": "WARNING",
        "job_id_prefix": "",
        "progress_interval": 5.0,
        "poll_interval": 300.0,
        "log_upload": LogUpload.FAILED,
        "log_upload_timeout": 10.0,
        "step_timeout": StepTimeout.OFF,
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
        "install_url": False,
    },
    "download": {
        "connect_timeout": 30.0,
        "idle_timeout": 60.0,
        "max_attempts": 30,
        "max_rate": 0,
        "min_rate": 100,
        "allow_http": False,
        "cafile": "",
        "proxy": NO_PROXIES,
    },
    "verify": {
        "require": Require.NONE,
        "keys": (),
        "authorities": (),
        "bind_version": True,
        "product": "",
        "installer_verifies": False,
        "allow_downgrade": Downgrades.YES,
    },
    "inventory": {"package": "", "hook": ()},
    "control": {
        "socket": default_socket(),
        "mode": "0660",
        "group": None,
        "http": None,
        "http_anywhere": False,
    },
    "policy": {
        "download": StepRule.ALWAYS,
        "install": StepRule.ALWAYS,
        "restart": StepRule.ALWAYS,
        "window": None,
        "timezone": "",
        "deadline": None,
        "clock_patience": 86_400.0,
        "force_skips_policy": False,
        "users": (),
    },
}


class SettingsTests(ConfigBench):
    def test_all(self) -> None:
        certs = make_certs(self.directory / "certs")
        text = ALL.format(directory=self.directory, certs=certs, hook=self.hook)
        hook = str(self.hook)
        self.assertEqual(
            config.load(self.write(text)),
            Settings(
                ServiceSettings(
                    sentry_dsn="https://key@sentry.example.com/42",
                    log_level="DEBUG",
                    download_location=self.directory / "downloads" / "upparat",
                    state_dir=self.directory / "memory",
                    job_id_prefix="upparat_",
                    progress_interval=0.5,
                    poll_interval=60.0,
                    log_upload=LogUpload.ALWAYS,
                    log_upload_timeout=2.5,
                    step_timeout=StepTimeout.AUTO,
                ),
                BrokerSettings(
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
                HookSettings(
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
                DownloadSettings(
                    connect_timeout=3.0,
                    idle_timeout=4.0,
                    max_attempts=7,
                    max_rate=100_000,
                    min_rate=50,
                    allow_http=True,
                    cafile=certs.cafile,
                    proxy=Proxies(PROXY, PROXY),
                ),
                VerifySettings(
                    require=Require.SIGNATURE,
                    keys=(*public_keys(certs.client_cert), *public_keys(certs.server_cert)),
                    authorities=(certificate(certs.cafile),),
                    bind_version=True,
                    product="board A:1.0+x_y",
                    allow_downgrade=Downgrades.FORCED,
                ),
                InventorySettings(package="my.app_1-x", hook=(hook, "inventory")),
                ControlSettings(
                    socket=Path("/run/device/control.sock"),
                    mode="0600",
                    group="root",
                    http=ListenAddress("10.0.0.1", 9110),
                    http_anywhere=True,
                ),
                DeltaSettings(seeds=(Path("/dev/a"), Path("/srv/b c"))),
                PolicySettings(
                    download=StepRule.ALWAYS,
                    install=StepRule.WINDOW,
                    restart=StepRule.ASK_OR_WINDOW,
                    window=parse_windows(
                        "02:00-05:00, Sat-Sun 22:00-06:00", ZoneInfo("Europe/Berlin")
                    ),
                    timezone="Europe/Berlin",
                    deadline=604_800.0,
                    clock_patience=7200.0,
                    force_skips_policy=True,
                    users=(0, 1000),
                ),
            ),
        )

    def test_all_means_all(self) -> None:
        """No option that the settings have may be missing above."""
        for section, kind in SECTIONS.items():
            part = ALL.partition(f"[{section}]")[2].partition("\n[")[0]
            names = {"keys": "public_keys", "authorities": "cafile"}
            for option in dataclasses.fields(kind):
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
        self.assertEqual(settings.service.state_dir, default_state())
        self.assertEqual((settings.problems, settings.unfit), ((), ""))

    def test_a_device_without_a_temporary_directory(self) -> None:
        def nowhere() -> str:
            raise FileNotFoundError("No usable temporary directory found")

        self.patch(tempfile, "gettempdir", nowhere)
        self.assertEqual(default_downloads(), Path("/tmp"))

    def test_the_state_survives_a_reboot(self) -> None:
        self.patch(os, "geteuid", lambda: 0)
        self.assertEqual(default_state(), Path("/var/lib/upparat"))
        self.patch(os, "geteuid", lambda: 1000)
        self.environ["HOME"] = "/home/me"
        for base, state in (
            ("", "/home/me/.local/state/upparat"),
            ("relative", "/home/me/.local/state/upparat"),
            ("/state", "/state/upparat"),
        ):
            self.environ["XDG_STATE_HOME"] = base
            self.assertEqual(default_state(), Path(state))

    def test_without_a_file(self) -> None:
        self.assertEqual(config.load(None, "thing"), self.load())

    def test_defaults_of_the_values_are_those_of_the_file(self) -> None:
        settings, values = self.load(), Settings()
        self.assertEqual(settings.hooks, values.hooks)
        self.assertEqual(settings.download, values.download)
        self.assertEqual(settings.verify, values.verify)
        self.assertEqual(settings.inventory, values.inventory)
        self.assertEqual(settings.policy, values.policy)
        self.assertEqual(settings.broker, dataclasses.replace(values.broker, thing_name="thing"))
        self.assertEqual(settings.service, values.service)

    def test_an_empty_option_is_a_missing_one(self) -> None:
        names = {section: [*options] for section, options in DEFAULTS.items()}
        names["hooks"] = [name for name in names["hooks"] if name not in ("commands", "timeouts")]
        names["hooks"] += [*Hook, "timeout", *(f"timeout_{hook}" for hook in Hook)]
        names["verify"] = ["public_keys", "cafile", "require", "bind_version", "product"]
        names["verify"] += ["allow_downgrade"]
        names["control"].remove("socket")  # without a value it is off
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

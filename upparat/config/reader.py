"""The reader: makes frozen settings of an INI file, and reports all its problems at once."""

from __future__ import annotations

import configparser
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from upparat.job import Downgrades, Hook
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy, configured, from_environment
from upparat.policy.durations import parse_duration
from upparat.policy.rules import StepRule
from upparat.runtime import OFF, default_socket, socket_path

from . import checks
from .address import ListenAddress, listen_address
from .ini import Ini, Problem
from .settings import (
    CLOCK_PATIENCE,
    HOOK_TIMEOUT,
    NAME,
    SECTIONS,
    STATE,
    BrokerSettings,
    ControlSettings,
    DeltaSettings,
    DownloadSettings,
    HookSettings,
    InventorySettings,
    PolicySettings,
    Require,
    ServiceSettings,
    Settings,
    VerifySettings,
    default_downloads,
    default_state,
)
from .severity import concerns_connection, forbids_downloads, refuses_start

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from upparat.policy.windows import Windows
    from upparat.signing.keys import PublicKey

_TLS_FILES = ("cafile", "certfile", "keyfile")


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` names each by section and option."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(
    path: str | os.PathLike[str] | None,
    thing_name: str = "",
    *,
    must_run: bool = False,
    online: bool = True,
) -> Settings:
    """Read a configuration file; without a path, take the defaults.

    :param thing_name: overrides ``[broker] thing_name``.
    :param must_run: accept the problems that an agent can run with.
    :param online: the agent is to connect. Otherwise a problem with that is none.
    :raises ConfigError: with all problems of the file.
    """
    settings, problems = survey(path, thing_name)
    if not online:
        problems = [each for each in problems if not concerns_connection(each)]
        settings = replace(settings, problems=tuple(map(str, problems)))
    if (problems and not must_run) or any(map(refuses_start, problems)):
        raise ConfigError(settings.problems)
    return settings


def survey(
    path: str | os.PathLike[str] | None, thing_name: str = ""
) -> tuple[Settings, Sequence[Problem]]:
    """Read a file as :func:`load` does, whatever its problems mean for the agent. An option with a
    problem has its default.

    :raises ConfigError: if the file cannot be parsed.
    """
    ini = Ini(_parsed(path, thing_name), SECTIONS)
    settings = _SettingsReader(ini).settings()
    ini.unknown()
    unfit = next(map(str, filter(forbids_downloads, ini.problems)), "")
    problems = tuple(map(str, ini.problems))
    return replace(settings, problems=problems, unfit=unfit), tuple(ini.problems)


def _parsed(path: str | os.PathLike[str] | None, thing_name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    if path is not None:
        try:
            # Editors on Windows begin a file with a byte order mark.
            with open(path, encoding="utf-8-sig") as stream:
                parser.read_file(stream)
        except OSError as error:
            raise ConfigError([f"{os.fspath(path)}: {error.strerror}"]) from None
        except configparser.Error as error:
            raise ConfigError([" ".join(str(error).split())]) from None
        except UnicodeDecodeError as error:
            raise ConfigError([f"{os.fspath(path)}: {error}"]) from None
    if thing_name:
        if not parser.has_section("broker"):
            parser.add_section("broker")
        parser.set("broker", "thing_name", thing_name.replace("%", "%%"))
    return parser


class _SettingsReader:
    """Makes each section; a function for each option that needs others or the file system."""

    def __init__(self, ini: Ini) -> None:
        self.ini = ini

    def settings(self) -> Settings:
        return Settings(
            self.service(),
            self.broker(),
            self.hooks(),
            self.download(),
            self.verify(),
            self.inventory(),
            control=self.control(),
            delta=self.delta(),
            policy=self.policy(),
        )

    def service(self) -> ServiceSettings:
        base = self.ini.text("service", "download_location") or default_downloads()
        location = Path(os.path.abspath(base), NAME)
        state = self.ini.text("service", "state_dir")

        def directory(option: str, path: Path) -> Path:
            self.ini.passes("service", option, checks.directory, path)
            return Path(os.path.abspath(str(path).replace("\0", "?")))

        return self.ini.section(
            ServiceSettings,
            "service",
            download_location=lambda: directory("download_location", location),
            state_dir=lambda: (
                directory("state_dir", Path(state)) if state else self._default_state(location)
            ),
            sentry_dsn=self._dsn,
        )

    def _default_state(self, location: Path) -> Path:
        """A directory that survives a reboot; where there is none, one beside the downloads."""
        state = default_state()
        try:
            if not state.is_absolute():
                raise ValueError("this user has no home directory")
            checks.directory(state)
        except ValueError as error:
            second = location / STATE
            what = f"{error}; {second} is used, which a reboot may empty"
            self.ini.problem("service", "state_dir", what)
            return second
        return state

    def _dsn(self) -> str:
        dsn, old = (self.ini.text("service", name) for name in ("sentry_dsn", "sentry"))
        dsn = dsn or old
        if dsn and not self.ini.passes("service", "sentry_dsn", checks.sentry_dsn, dsn):
            return ""
        return dsn

    def broker(self) -> BrokerSettings:
        return self.ini.section(
            BrokerSettings,
            "broker",
            thing_name=lambda: self.ini.value("broker", "thing_name", socket.gethostname()),
            client_id=self._client_id,
            cafile=self._tls_files,
            password=self._password,
            proxy=lambda: self._proxy("broker"),
        )

    def _client_id(self) -> str:
        client_id = self.ini.text("broker", "client_id", NAME)
        self.ini.passes("broker", "client_id", checks.client_id, client_id)
        return client_id

    def _tls_files(self) -> str:
        """Check all three files, and return the first."""
        files = {name: self.ini.text("broker", name) for name in _TLS_FILES}
        missing = [name for name, file in files.items() if not file]
        good = [
            self.ini.passes("broker", name, checks.readable, file)
            for name, file in files.items()
            if file
        ]
        if missing and len(missing) < len(files):
            self.ini.problem(
                "broker", ", ".join(missing), "cafile, certfile and keyfile go together, or none"
            )
        elif not missing and all(good):
            pair = files["certfile"], files["keyfile"]
            self.ini.passes("broker", "cafile", checks.authorities, files["cafile"])
            self.ini.passes("broker", "certfile, keyfile", checks.key_pair, *pair)
        return self.ini.value("broker", "cafile", "")

    def _password(self) -> str:
        password = self.ini.text("broker", "password")
        if password and not self.ini.text("broker", "username"):
            self.ini.problem("broker", "password", "needs a username")
        return password

    def _proxy(self, section: str) -> Proxy | None:
        text = self.ini.text(section, "proxy")
        return self.ini.attempt(section, "proxy", configured, text, None) if text else None

    def hooks(self) -> HookSettings:
        timeout = self.ini.value("hooks", "timeout", HOOK_TIMEOUT)
        return self.ini.section(
            HookSettings,
            "hooks",
            commands=self._commands,
            install_stream=self._install_stream,
            install_url=self._install_url,
            timeouts=lambda: MappingProxyType(
                {hook: self.ini.value("hooks", f"timeout_{hook}", timeout) for hook in Hook}
            ),
        )

    def _commands(self) -> Mapping[Hook, tuple[str, ...]]:
        texts = {hook: self.ini.text("hooks", hook) for hook in Hook}
        commands = {
            # A wrong command stays: its job fails with the reason, or it is there by then.
            hook: self.ini.attempt("hooks", hook, checks.command, text, checks.typed(text))
            for hook, text in texts.items()
            if text
        }
        return MappingProxyType({hook: command for hook, command in commands.items() if command})

    def _install_stream(self) -> bool:
        install_stream = self.ini.value("hooks", "install_stream", False)
        if install_stream and not self.ini.text("hooks", Hook.INSTALL):
            self.ini.problem("hooks", "install_stream", "needs install")
        return install_stream

    def _install_url(self) -> bool:
        install_url = self.ini.value("hooks", "install_url", False)
        if install_url and not self.ini.text("hooks", Hook.INSTALL):
            self.ini.problem("hooks", "install_url", "needs install")
        if install_url and self.ini.value("hooks", "install_stream", False):
            self.ini.problem("hooks", "install_url", "does not go with install_stream")
        return install_url

    def download(self) -> DownloadSettings:
        return self.ini.section(
            DownloadSettings,
            "download",
            min_rate=self._min_rate,
            cafile=self._cafile,
            proxy=self._proxies,
        )

    def _min_rate(self) -> int:
        least = self.ini.value("download", "min_rate", DownloadSettings.min_rate)
        most = self.ini.value("download", "max_rate", DownloadSettings.max_rate)
        if 0 < most < least:
            self.ini.problem("download", "min_rate", "is more than max_rate")
        return least

    def _cafile(self) -> str:
        cafile = self.ini.text("download", "cafile")
        if cafile and self.ini.passes("download", "cafile", checks.readable, cafile):
            self.ini.passes("download", "cafile", checks.authorities, cafile)
        return self.ini.value("download", "cafile", "")

    def _proxies(self) -> Proxies:
        if self.ini.text("download", "proxy"):
            proxy = self._proxy("download")
            return Proxies(proxy, proxy)
        try:
            return from_environment(os.environ)
        except ValueError as error:
            self.ini.problem("download", "proxy", str(error))
            return NO_PROXIES

    def verify(self) -> VerifySettings:
        return self.ini.section(
            VerifySettings,
            "verify",
            require=self._require,
            keys=self._public_keys,
            authorities=self._signing_authorities,
            product=self._product,
            installer_verifies=self._installer_verifies,
            allow_downgrade=self._allow_downgrade,
        )

    def _require(self) -> Require:
        require = self.ini.value("verify", "require", Require.NONE)
        if require is Require.SIGNATURE and not self._names_signers():
            self.ini.problem("verify", "require", "signature needs public_keys or cafile")
        if require is not Require.NONE and self._nobody_verifies():
            what = f"{require} cannot be checked with [hooks] install_url"
            how = "needs installer_verifies = yes, and an installer that does"
            self.ini.problem("verify", "require", f"{what}: {how}")
        return require

    def _nobody_verifies(self) -> bool:
        installer_verifies = self.ini.value("verify", "installer_verifies", False)
        return self.ini.value("hooks", "install_url", False) and not installer_verifies

    def _installer_verifies(self) -> bool:
        installer_verifies = self.ini.value("verify", "installer_verifies", False)
        if installer_verifies and not self.ini.value("hooks", "install_url", False):
            self.ini.problem("verify", "installer_verifies", "needs [hooks] install_url")
        return installer_verifies

    def _names_signers(self) -> bool:
        return any(self.ini.text("verify", option) for option in ("public_keys", "cafile"))

    def _public_keys(self) -> tuple[PublicKey, ...]:
        files: list[str] = self.ini.attempt(
            "verify", "public_keys", checks.words, self.ini.text("verify", "public_keys"), []
        )
        keys: list[PublicKey] = []
        for file in files:
            if self.ini.passes("verify", "public_keys", checks.readable, file):
                keys += self.ini.attempt("verify", "public_keys", checks.public_keys, file, ())
        return tuple(keys)

    def _signing_authorities(self) -> tuple[Certificate, ...]:
        cafile = self.ini.text("verify", "cafile")
        if not cafile or not self.ini.passes("verify", "cafile", checks.readable, cafile):
            return ()
        return self.ini.attempt("verify", "cafile", checks.signing_authorities, cafile, ())

    def _product(self) -> str:
        product = self.ini.value("verify", "product", "")
        if product and not self._names_signers():
            self.ini.problem("verify", "product", "needs public_keys or cafile")
        if product and not self.ini.value("verify", "bind_version", True):
            self.ini.problem("verify", "product", "needs bind_version = yes")
        return product

    def _allow_downgrade(self) -> Downgrades:
        downgrades = self.ini.value("verify", "allow_downgrade", Downgrades.YES)
        if downgrades is not Downgrades.YES and not self.ini.text("hooks", Hook.VERSION):
            self.ini.problem("verify", "allow_downgrade", f"{downgrades} needs [hooks] version")
        return downgrades

    def inventory(self) -> InventorySettings:
        return self.ini.section(
            InventorySettings, "inventory", package=self._package, hook=self._inventory_hook
        )

    def _package(self) -> str:
        """The package; none where the version hook is missing, which would say what runs."""
        package = self.ini.value("inventory", "package", "")
        if package and not self.ini.text("hooks", Hook.VERSION):
            self.ini.problem("inventory", "package", "needs [hooks] version")
            return ""
        return package

    def _inventory_hook(self) -> tuple[str, ...]:
        text = self.ini.text("inventory", "hook")
        if text and not self.ini.text("inventory", "package"):
            self.ini.problem("inventory", "hook", "needs package")
        default = checks.typed(text)
        return self.ini.attempt("inventory", "hook", checks.command, text, default) if text else ()

    def policy(self) -> PolicySettings:
        return self.ini.section(
            PolicySettings,
            "policy",
            download=lambda: self._step_rule("download"),
            install=lambda: self._step_rule("install"),
            restart=lambda: self._step_rule("restart"),
            window=self._windows,
            timezone=lambda: self.ini.text("policy", "timezone"),
            deadline=lambda: self._duration("deadline", None),
            clock_patience=lambda: self._duration("clock_patience", CLOCK_PATIENCE),
            users=self._users,
        )

    def _step_rule(self, step: str) -> StepRule:
        rule = self.ini.value("policy", step, StepRule.ALWAYS)
        if rule.waits_for_window and not self.ini.text("policy", "window"):
            self.ini.problem("policy", step, f"{rule} needs window")
        if rule is StepRule.ASK and self._control_socket() is None:
            self.ini.problem("policy", step, "ask needs [control] socket")
        return rule

    def _windows(self) -> Windows | None:
        text, name = (self.ini.text("policy", option) for option in ("window", "timezone"))
        if not text and not name:
            return None
        from upparat.policy.windows import load_zone, parse_windows  # few devices need it

        zone = self.ini.attempt("policy", "timezone", load_zone, name, None) if name else None
        if not text:
            self.ini.problem("policy", "timezone", "needs window")
            return None
        return self.ini.attempt(
            "policy", "window", lambda text: parse_windows(text, zone), text, None
        )

    def _duration(self, option: str, default: float | None) -> float | None:
        text = self.ini.text("policy", option)
        return (
            self.ini.attempt("policy", option, parse_duration, text, default) if text else default
        )

    def _users(self) -> tuple[int, ...]:
        text = self.ini.text("policy", "users")
        return self.ini.attempt("policy", "users", checks.users, text, ()) if text else ()

    def control(self) -> ControlSettings:
        return self.ini.section(
            ControlSettings,
            "control",
            socket=self._control_socket,
            group=self._control_group,
            http=self._http,
        )

    def _control_socket(self) -> Path | None:
        text = self.ini.text("control", "socket")
        if not text:
            return None if self.ini.parser.has_option("control", "socket") else default_socket()
        return self.ini.attempt("control", "socket", socket_path, text, None)

    def _control_group(self) -> str | None:
        group = self.ini.text("control", "group")
        if group and self.ini.passes("control", "group", checks.group, group):
            return group
        return None

    def _http(self) -> ListenAddress | None:
        text = self.ini.text("control", "http")
        if not text or text.lower() == OFF:
            return None
        address: ListenAddress | None = self.ini.attempt(
            "control", "http", listen_address, text, None
        )
        if address is None or address.loopback or self.ini.value("control", "http_anywhere", False):
            return address
        what = f"others can reach {address.host}: needs http_anywhere = yes"
        self.ini.problem("control", "http", what)
        return None

    def delta(self) -> DeltaSettings:
        return self.ini.section(DeltaSettings, "delta", seeds=self._seeds, keep=self._keep)

    def _seeds(self) -> tuple[Path, ...]:
        """The seeds. One that is missing is none the worse: it may be there by then."""
        text = self.ini.text("delta", "seeds")
        return tuple(self.ini.attempt("delta", "seeds", checks.absolute_paths, text, ()))

    def _keep(self) -> bool:
        keep = self.ini.value("delta", "keep", False)
        if keep and self.ini.value("hooks", "install_url", False):
            self.ini.problem("delta", "keep", "is of no use with install_url, which stores no file")
            return False
        if keep and self.ini.value("hooks", "install_stream", False):
            self.ini.problem(
                "delta", "keep", "is of no use with install_stream, which stores no file"
            )
            return False
        return keep

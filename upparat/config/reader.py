"""The configuration file: INI in, frozen settings out, every problem told at once."""

from __future__ import annotations

import configparser
import math
import os
import re
import shlex
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from upparat.job import Downgrades, Hook
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy, configured, from_environment

from .settings import (
    LOG_LEVELS,
    NAME,
    STATE,
    Broker,
    Download,
    Hooks,
    Require,
    Service,
    Settings,
    Verify,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from upparat.signing.keys import PublicKey

_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_Choice = TypeVar("_Choice", bound=StrEnum)
_JOB_ID_PART = re.compile(r"[a-zA-Z0-9_-]{0,64}")


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` names each by section and option."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(path: str | os.PathLike[str] | None, thing_name: str = "") -> Settings:
    """Read a configuration file; without a path, take the defaults.

    :param thing_name: overrides ``[broker] thing_name``.
    :raises ConfigError: with all problems of the file.
    """
    parser = configparser.ConfigParser()
    if path is not None:
        try:
            with open(path, encoding="utf-8") as stream:
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
    return _Reader(parser).settings()


class _Reader:
    """Reads options by section and name, collecting problems; ``known`` is what was asked for."""

    def __init__(self, parser: configparser.ConfigParser) -> None:
        self.parser = parser
        self.problems: list[str] = []
        self.known: dict[str, set[str]] = {}

    def settings(self) -> Settings:
        settings = Settings(
            self.service(), self.broker(), self.hooks(), self.download(), self.verify()
        )
        self._unknown()
        if self.problems:
            raise ConfigError(self.problems)
        return settings

    # --- sections ---

    def service(self) -> Service:
        section = "service"
        base = self.text(section, "download_location", tempfile.gettempdir())
        location = Path(os.path.abspath(base), NAME)
        state = self.text(section, "state_dir", str(location / STATE))
        self._directory(section, "download_location", location)
        self._directory(section, "state_dir", Path(state))
        return Service(
            sentry_dsn=self._dsn(),
            log_level=self._log_level(),
            download_location=location,
            state_dir=Path(os.path.abspath(state)),
            job_id_prefix=self._matching(section, "job_id_prefix", "", _JOB_ID_PART, "of a job id"),
            progress_interval=self.seconds(section, "progress_interval", 5.0),
            poll_interval=self.seconds(section, "poll_interval", 300.0, least=1.0),
        )

    def broker(self) -> Broker:
        section = "broker"
        thing = self._matching(
            section, "thing_name", socket.gethostname(), _THING, "of a thing name (1 to 128)"
        )
        client_id = self.text(section, "client_id", NAME)
        if client_id.startswith("$") or not 1 <= len(client_id.encode()) <= 128:
            self.problem(section, "client_id", "must be 1 to 128 bytes that do not start with $")
        cafile, certfile, keyfile = self._tls_files()
        return Broker(
            host=self.text(section, "host", "127.0.0.1"),
            port=self.integer(section, "port", 1883, least=1, most=65535),
            thing_name=thing,
            client_id=client_id,
            cafile=cafile,
            certfile=certfile,
            keyfile=keyfile,
            username=self.text(section, "username"),
            password=self._password(),
            # AWS drops clients outside of 30 to 1200 s; other brokers follow the wire's 16 bits.
            keepalive=self.integer(section, "keepalive", 60, least=5, most=65535),
            connect_timeout=self.seconds(section, "connect_timeout", 30.0, least=1.0),
            proxy=self._proxy(section),
        )

    def hooks(self) -> Hooks:
        section = "hooks"
        timeout = self.seconds(section, "timeout", 3600.0, least=1.0)
        commands = {hook: self._command(section, hook) for hook in Hook}
        install_stream = self.flag(section, "install_stream", default=False)
        if install_stream and not self.text(section, Hook.INSTALL):
            self.problem(section, "install_stream", "needs install")
        return Hooks(
            commands=MappingProxyType({h: command for h, command in commands.items() if command}),
            timeouts=MappingProxyType(
                {h: self.seconds(section, f"timeout_{h}", timeout, least=1.0) for h in Hook}
            ),
            retry_interval=self.seconds(section, "retry_interval", 60.0),
            max_retries=self.integer(section, "max_retries", 60, least=1),
            restart_grace=self.seconds(section, "restart_grace", 10.0),
            restart_timeout=self.seconds(section, "restart_timeout", 300.0),
            restart_attempts=self.integer(section, "restart_attempts", 3, least=1),
            kill_on_cancel=self.flag(section, "kill_on_cancel", default=False),
            install_stream=install_stream,
        )

    def download(self) -> Download:
        section = "download"
        return Download(
            connect_timeout=self.seconds(section, "connect_timeout", 30.0, least=0.1),
            idle_timeout=self.seconds(section, "idle_timeout", 60.0, least=0.1),
            max_attempts=self.integer(section, "max_attempts", 30, least=1),
            max_rate=self.integer(section, "max_rate", 0, least=0),
            allow_http=self.flag(section, "allow_http", default=False),
            cafile=self._authorities(section),
            proxy=self._proxies(section),
        )

    def verify(self) -> Verify:
        section = "verify"
        require = self.choice(section, "require", Require.NONE)
        keys, authorities = self._public_keys(section), self._signing_authorities(section)
        named = self.text(section, "public_keys") or self.text(section, "cafile")
        if require is Require.SIGNATURE and not named:
            self.problem(section, "require", "signature needs public_keys or cafile")
        downgrades = self.choice(section, "allow_downgrade", Downgrades.YES)
        if downgrades is not Downgrades.YES and not self.text("hooks", Hook.VERSION):
            self.problem(section, "allow_downgrade", f"{downgrades} needs [hooks] version")
        return Verify(
            require=require,
            keys=keys,
            authorities=authorities,
            bind_version=self.flag(section, "bind_version", default=True),
            allow_downgrade=downgrades,
        )

    def _public_keys(self, section: str) -> tuple[PublicKey, ...]:
        keys: list[PublicKey] = []
        for file in self._words(section, "public_keys"):
            if self._readable(section, "public_keys", file):
                from upparat.signing.keys import BadKey, load_keys  # only who verifies pays for it

                try:
                    keys += load_keys(Path(file).read_bytes())
                except BadKey as error:
                    self.problem(section, "public_keys", f"{file} {error}")
        return tuple(keys)

    def _signing_authorities(self, section: str) -> tuple[Certificate, ...]:
        cafile = self.text(section, "cafile")
        if not cafile or not self._readable(section, "cafile", cafile):
            return ()
        from cryptography.x509 import load_pem_x509_certificates

        try:
            return tuple(load_pem_x509_certificates(Path(cafile).read_bytes()))
        except (OSError, ValueError) as error:
            self.problem(section, "cafile", f"{cafile} holds no certificates: {error}")
            return ()

    # --- kinds of values ---

    def problem(self, section: str, option: str, what: str) -> None:
        """Once for each: some options are looked at twice."""
        problem = f"[{section}] {option}: {what}"
        if problem not in self.problems:
            self.problems.append(problem)

    def text(self, section: str, option: str, default: str = "") -> str:
        """The value, or the default where the option is missing or empty."""
        self.known.setdefault(section, set()).add(option)
        try:
            return self.parser.get(section, option, fallback="").strip() or default
        except configparser.InterpolationError:
            self.problem(section, option, "a % must be written as %%")
            return default

    def _number(
        self, section: str, option: str, default: float, kind: Callable[[str], float], name: str
    ) -> float:
        text = self.text(section, option)
        if not text:
            return default
        try:
            return kind(text)
        except ValueError:
            self.problem(section, option, f"{text!r} is not {name}")
            return default

    def integer(
        self, section: str, option: str, default: int, *, least: int, most: int | None = None
    ) -> int:
        value = self._number(section, option, default, int, "a whole number")
        if value < least or (most is not None and value > most):
            bounds = f"{least} or more" if most is None else f"{least} to {most}"
            self.problem(section, option, f"must be {bounds}, not {value}")
        return int(value)

    def seconds(self, section: str, option: str, default: float, *, least: float = 0.0) -> float:
        value = self._number(section, option, default, float, "a number of seconds")
        if not least <= value < math.inf:
            self.problem(section, option, f"must be {least:g} seconds or more, not {value:g}")
        return value

    def flag(self, section: str, option: str, *, default: bool) -> bool:
        text = self.text(section, option)
        value = configparser.ConfigParser.BOOLEAN_STATES.get(text.lower(), default)
        if text and text.lower() not in configparser.ConfigParser.BOOLEAN_STATES:
            self.problem(section, option, f"{text!r} is neither yes nor no")
        return value

    def choice(self, section: str, option: str, default: _Choice) -> _Choice:
        text = self.text(section, option, default)
        try:
            return type(default)(text.lower())
        except ValueError:
            self.problem(section, option, f"{text!r} is none of {', '.join(type(default))}")
            return default

    def _words(self, section: str, option: str) -> list[str]:
        text = self.text(section, option)
        try:
            return shlex.split(text)
        except ValueError as error:
            self.problem(section, option, f"{text!r} cannot be split into words: {error}")
            return []

    def _matching(
        self, section: str, option: str, default: str, pattern: re.Pattern[str], what: str
    ) -> str:
        value = self.text(section, option, default)
        if not pattern.fullmatch(value):
            self.problem(section, option, f"{value!r} holds other characters than those {what}")
        return value

    # --- single options ---

    def _dsn(self) -> str:
        dsn = self.text("service", "sentry_dsn") or self.text("service", "sentry")
        self.text("service", "sentry")  # the alias is known even where the option is set
        if dsn and not _is_dsn(dsn):
            self.problem("service", "sentry_dsn", "is not a Sentry DSN")
        return dsn

    def _log_level(self) -> str:
        level = self.text("service", "log_level", "WARNING").upper()
        if level not in LOG_LEVELS:
            self.problem("service", "log_level", f"{level!r} is none of {', '.join(LOG_LEVELS)}")
        return level

    def _password(self) -> str:
        password = self.text("broker", "password")
        if password and not self.text("broker", "username"):
            self.problem("broker", "password", "needs a username")
        return password

    def _tls_files(self) -> tuple[str, str, str]:
        names = ("cafile", "certfile", "keyfile")
        files = [self.text("broker", name) for name in names]
        missing = [name for name, file in zip(names, files, strict=True) if not file]
        readable = True
        for name, file in zip(names, files, strict=True):
            readable &= not file or self._readable("broker", name, file)
        if missing and len(missing) < len(names):
            self.problem(
                "broker", ", ".join(missing), "cafile, certfile and keyfile go together, or none"
            )
        elif not missing and readable:
            self._tls_material(*files)
        cafile, certfile, keyfile = (os.path.abspath(file) if file else "" for file in files)
        return cafile, certfile, keyfile

    def _readable(self, section: str, option: str, file: str) -> bool:
        readable = os.path.isfile(file) and os.access(file, os.R_OK)
        if not readable:
            self.problem(section, option, f"{file} cannot be read")
        return readable

    def _authorities(self, section: str) -> str:
        """A ``cafile`` that may be given by itself."""
        cafile = self.text(section, "cafile")
        if not cafile:
            return ""
        if self._readable(section, "cafile", cafile):
            self._certificates(section, cafile, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return os.path.abspath(cafile)

    def _proxy(self, section: str) -> Proxy | None:
        text = self.text(section, "proxy")
        try:
            return configured(text) if text else None
        except ValueError as error:
            self.problem(section, "proxy", str(error))
            return None

    def _proxies(self, section: str) -> Proxies:
        if self.text(section, "proxy"):
            proxy = self._proxy(section)
            return Proxies(proxy, proxy)
        try:
            return from_environment(os.environ)
        except ValueError as error:
            self.problem(section, "proxy", str(error))
            return NO_PROXIES

    def _certificates(self, section: str, cafile: str, context: ssl.SSLContext) -> None:
        try:
            context.load_verify_locations(cafile)
        except (ssl.SSLError, OSError) as error:
            self.problem(section, "cafile", f"{cafile} holds no certificates: {error}")

    def _tls_material(self, cafile: str, certfile: str, keyfile: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._certificates("broker", cafile, context)
        try:
            # An empty password instead of none: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certfile, keyfile, password="")
        except (ssl.SSLError, OSError) as error:
            self.problem("broker", "certfile, keyfile", f"are no certificate and its key: {error}")

    def _command(self, section: str, hook: Hook) -> tuple[str, ...]:
        text = self.text(section, hook)
        if not text:
            return ()
        # 1.x took the whole value as the path, blanks included
        words = [text] if os.path.isfile(text) else self._words(section, hook)
        if not words:
            return ()
        executable = shutil.which(words[0])
        if executable is None:
            path = words[0] if os.path.dirname(words[0]) else ""  # or a name in PATH
            what = "is not executable" if os.path.exists(path) else "was not found"
            self.problem(section, hook, f"{words[0]!r} {what}")
            return ()
        return (os.path.abspath(executable), *words[1:])

    def _directory(self, section: str, option: str, path: Path) -> None:
        """A directory that we can write to, or could make."""
        try:
            existing = next(p for p in (path, *path.absolute().parents) if p.exists())
        except OSError as error:
            self.problem(section, option, f"{path}: {error.strerror}")
            return
        if not existing.is_dir():
            self.problem(section, option, f"{existing} is not a directory")
        elif not os.access(existing, os.W_OK | os.X_OK):
            self.problem(section, option, f"{existing} cannot be written to")

    def _unknown(self) -> None:
        """A misspelt option must not silently mean its default."""
        for section in self.parser.sections():
            if section not in self.known:
                self.problems.append(f"[{section}]: unknown section{_hint(section, self.known)}")
                continue
            mentioned = set(self.parser[section]) - set(self.parser.defaults())
            for option in sorted(mentioned - self.known[section]):
                hint = _hint(option, self.known[section])
                self.problem(section, option, f"unknown option{hint}")


def _is_dsn(text: str) -> bool:
    """Whether the Sentry SDK would take it: ``https://KEY@HOST[:PORT]/[PATH/]PROJECT``."""
    try:
        parts = urlsplit(text)
        numbered = parts.port != 0 and int(parts.path.rpartition("/")[2]) >= 0
    except ValueError:
        return False
    keyed = bool(parts.hostname and parts.username)
    return numbered and keyed and parts.scheme in ("http", "https")


def _hint(word: str, known: Mapping[str, object] | set[str]) -> str:
    import difflib  # only a wrong file pays for it

    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]}?" if close else ""

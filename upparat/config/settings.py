"""Settings: each option of the configuration file with its default, as frozen values."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from upparat.job import Downgrades, Hook
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from upparat.signing.keys import PublicKey

NAME = "upparat"
STATE = ".state"  # with the dot it cannot be the id of a job
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "EXCEPTION")


@dataclass(frozen=True)
class Service:
    """``[service]``: intervals are seconds; both directories are our own."""

    sentry_dsn: str = field(default="", repr=False)
    log_level: str = "WARNING"
    download_location: Path = Path(tempfile.gettempdir(), NAME)
    state_dir: Path = Path(tempfile.gettempdir(), NAME, STATE)
    job_id_prefix: str = ""
    progress_interval: float = 5.0
    poll_interval: float = 300.0


@dataclass(frozen=True)
class Broker:
    """``[broker]``: TLS is used if and only if the three files are set.

    ``proxy``: opens the way to the broker, whether with TLS or without.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    thing_name: str = ""
    client_id: str = NAME
    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    keepalive: int = 60
    connect_timeout: float = 30.0
    proxy: Proxy | None = None

    @property
    def tls(self) -> bool:
        return bool(self.cafile)


@dataclass(frozen=True)
class Hooks:
    """``[hooks]``: commands are argument lists with an absolute executable; times are seconds.

    ``install_stream``: the install hook reads the file from its stdin.
    """

    commands: Mapping[Hook, tuple[str, ...]] = field(default_factory=dict)
    timeouts: Mapping[Hook, float] = field(default_factory=lambda: dict.fromkeys(Hook, 3600.0))
    retry_interval: float = 60.0
    max_retries: int = 60
    restart_grace: float = 10.0
    restart_timeout: float = 300.0
    restart_attempts: int = 3
    kill_on_cancel: bool = False
    install_stream: bool = False


@dataclass(frozen=True)
class Download:
    """``[download]``: times are seconds.

    ``max_attempts`` counts attempts in a row that brought no new byte. ``max_rate`` is in bytes per
    second; 0 means no limit.
    """

    connect_timeout: float = 30.0
    idle_timeout: float = 60.0
    max_attempts: int = 30
    max_rate: int = 0
    allow_http: bool = False
    cafile: str = ""
    proxy: Proxies = NO_PROXIES


class Require(StrEnum):
    """``[verify] require``: what a job document has to bring along."""

    NONE = "none"
    DIGEST = "digest"
    SIGNATURE = "signature"


@dataclass(frozen=True)
class Verify:
    """``[verify]``: ``keys`` are those of all files of ``public_keys``, any of which may match.

    ``bind_version``: only signatures count that name the version as well.
    ``authorities``: whose certificates in job documents are believed.
    """

    require: Require = Require.NONE
    keys: Sequence[PublicKey] = ()
    authorities: Sequence[Certificate] = ()
    bind_version: bool = True
    allow_downgrade: Downgrades = Downgrades.YES


@dataclass(frozen=True)
class Settings:
    """Everything that can be configured."""

    service: Service = field(default_factory=Service)
    broker: Broker = field(default_factory=Broker)
    hooks: Hooks = field(default_factory=Hooks)
    download: Download = field(default_factory=Download)
    verify: Verify = field(default_factory=Verify)

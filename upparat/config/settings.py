"""Settings: each option of the configuration file with its default, as frozen values.

The reader reports problems in the order of the fields. There is no ``repr``: it could tell a
secret, and each start of the agent would have to make it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from upparat.job import Downgrades, Hook
from upparat.net.proxy import NO_PROXIES, Proxies, Proxy
from upparat.policy.rules import StepRule
from upparat.runtime import default_socket

from .address import ListenAddress
from .options import (
    Option,
    alias,
    choice,
    flag,
    own,
    path,
    pattern,
    permissions,
    seconds,
    seconds_option,
    several,
    text,
    whole,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from upparat.policy.windows import Windows
    from upparat.signing.keys import PublicKey

NAME = "upparat"
STATE = ".state"
"""The state directory beside the downloads, where no better one can be made. With the dot it cannot
be the id of a job."""

HOOK_TIMEOUT = 3600.0
CLOCK_PATIENCE = 86_400.0
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "EXCEPTION")


def default_state() -> Path:
    """The directory for what must survive a reboot: the system's for root, the user's for others
    (XDG Base Directory Specification). It is relative for a user who has no home."""
    if os.geteuid() == 0:
        return Path("/var/lib", NAME)
    base = os.environ.get("XDG_STATE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.local/state"), NAME)


def default_downloads() -> Path:
    """The temporary directory; ``/tmp`` if Python can write to none, on a full disk or a read-only
    root. The agent has to start there as well."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path("/tmp")  # noqa: S108


class LogUpload(StrEnum):
    """``[service] log_upload``: the executions whose log goes to the ``log_url`` of their job."""

    FAILED = "failed"
    ALWAYS = "always"
    NEVER = "never"


class StepTimeout(StrEnum):
    """``[service] step_timeout``: whether AWS ends the job of a device that has fallen silent."""

    OFF = "off"
    AUTO = "auto"


@dataclass(frozen=True, repr=False)
class ServiceSettings:
    """``[service]``; both directories belong to the agent alone."""

    download_location: Path = own(
        Path(default_downloads(), NAME),
        "Files are downloaded to the directory `upparat` below this one.",
        "the temporary directory",
    )
    state_dir: Path = own(
        default_state(),
        "Where the agent remembers the update in hand. Must survive a reboot.",
        "`/var/lib/upparat` for root, the user's state directory for others",
    )
    sentry_dsn: str = alias(
        "Errors are sent to this Sentry project.",
        "sentry",
        "The name of `sentry_dsn` in 1.x. `sentry_dsn` wins.",
    )
    log_level: str = choice(
        "WARNING",
        "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `EXCEPTION`: this level and above.",
        LOG_LEVELS,
    )
    job_id_prefix: str = pattern(
        "",
        "Only jobs whose id begins with this are followed.",
        r"[a-zA-Z0-9_-]{0,64}",
        "of a job id",
    )
    progress_interval: float = seconds(
        5.0, "`download_progress` and `installation_progress` are reported this often."
    )
    poll_interval: float = seconds(
        300.0, "The list of jobs is asked for this often, even without a notification.", least=1.0
    )
    log_upload: LogUpload = choice(
        LogUpload.FAILED, "Which logs go to the `log_url` of a job: `failed`, `always` or `never`."
    )
    log_upload_timeout: float = seconds(10.0, "How long the end of a job waits for its upload.")
    step_timeout: StepTimeout = choice(
        StepTimeout.OFF, "`auto`: AWS times out the job of a device that falls silent. Or `off`."
    )


@dataclass(frozen=True, repr=False)
class BrokerSettings:
    """``[broker]``: the connection uses TLS if and only if the three files are set."""

    thing_name: str = pattern(
        "",
        "The thing whose jobs are followed. `-t` overrides it.",
        r"[a-zA-Z0-9:_-]{1,128}",
        "of a thing name (1 to 128)",
        shows="the host name",
    )
    client_id: str = own(NAME, "The MQTT client id.", f"`{NAME}`")
    cafile: str = path("Certificates (PEM) that the broker's is verified with.")
    certfile: str = path("The device's certificate (PEM).")
    keyfile: str = path("The device's private key (PEM), not encrypted.")
    host: str = text("127.0.0.1", "The MQTT broker.")
    port: int = whole(1883, "The port of the broker.", least=1, most=65535)
    username: str = text("", "For brokers that want one; AWS does not.")
    password: str = text("", "Needs a `username`.", secret=True)
    # AWS drops clients outside of 30 to 1200 s; other brokers admit all of the 16 bits.
    keepalive: int = whole(
        60,
        "The keep-alive interval of MQTT. AWS admits 30 to 1200.",
        least=5,
        most=65535,
        unit="seconds",
    )
    connect_timeout: float = seconds(
        30.0, "From the look-up of the name until the broker accepts the client.", least=1.0
    )
    proxy: Proxy | None = own(
        None, "An HTTP proxy that opens tunnels: `http://[user:password@]host:port`."
    )

    @property
    def tls(self) -> bool:
        return bool(self.cafile)


_HOOKS = {
    Hook.VERSION: "Prints the version that runs.",
    Hook.CHECK: "Decides whether the update is for this device.",
    Hook.DOWNLOAD: "Decides whether a download may begin.",
    Hook.INSTALL: "Installs the file.",
    Hook.RESTART: "Restarts the device, or what was updated.",
    Hook.READY: "Decides whether the new version works.",
    Hook.ROLLBACK: "Takes a failed installation back.",
    Hook.CLEANUP: "Tidies up when a job is over.",
}


@dataclass(frozen=True, repr=False)
class HookSettings:
    """``[hooks]``: commands are argument lists with an absolute executable."""

    commands: Mapping[Hook, tuple[str, ...]] = several(
        dict, {hook: Option(doc) for hook, doc in _HOOKS.items()}
    )
    install_stream: bool = flag(
        False, "Whether the install hook reads the file from its stdin. Needs `install`."
    )
    install_url: bool = flag(
        False, "Whether the install hook fetches the file from a URL of the agent. Needs `install`."
    )
    timeouts: Mapping[Hook, float] = several(
        lambda: dict.fromkeys(Hook, HOOK_TIMEOUT),
        {
            "timeout": seconds_option(
                "How long one run of a hook may take.", f"`{HOOK_TIMEOUT:g}`", least=1.0
            ),
            **{
                f"timeout_{hook}": seconds_option(
                    f"The same, for the hook `{hook}` alone.", "`timeout`", least=1.0, bounds=False
                )
                for hook in Hook
            },
        },
    )
    retry_interval: float = seconds(60.0, "From a run that exits with 3 until the next run.")
    max_retries: int = whole(
        60, "After so many runs that exit with 3 the hook has failed.", least=1, unit="runs"
    )
    restart_grace: float = seconds(
        10.0, "How long a device may take to go down after the restart hook."
    )
    restart_timeout: float = seconds(
        300.0, "How long the version may stay the old one after the restart hook."
    )
    restart_attempts: int = whole(
        3,
        "How often the restart hook is begun for a job when it is cut short.",
        least=1,
        unit="runs",
    )
    kill_on_cancel: bool = flag(
        False, "Whether cancelling a job ends its running install or restart hook."
    )


@dataclass(frozen=True, repr=False)
class DownloadSettings:
    """``[download]``."""

    connect_timeout: float = seconds(30.0, "Until a connection to the server is made.", least=0.1)
    idle_timeout: float = seconds(60.0, "How long the server may send nothing.", least=0.1)
    max_attempts: int = whole(
        30,
        "So many attempts in a row without a new byte, or too slow ones, fail the download.",
        least=1,
        unit="attempts",
    )
    max_rate: int = whole(
        0, "How fast a download may be; `0` is as fast as it goes.", least=0, unit="bytes/s"
    )
    min_rate: int = whole(
        100,
        "An attempt that is slower for a minute is given up; `0` is never.",
        least=0,
        unit="bytes/s",
    )
    allow_http: bool = flag(False, "Whether a file without a digest may come over plain `http:`.")
    cafile: str = path(
        "Certificates (PEM) that servers are verified with, instead of the platform's."
    )
    proxy: Proxies = own(
        NO_PROXIES,
        "An HTTP proxy, `http://[user:password@]host:port`, or `none`.",
        "the environment",
    )


class Require(StrEnum):
    """``[verify] require``: the checks that a job document must make possible."""

    NONE = "none"
    DIGEST = "digest"
    SIGNATURE = "signature"


@dataclass(frozen=True, repr=False)
class VerifySettings:
    """``[verify]``: any of ``keys`` may match; ``authorities`` vouch for other signers."""

    require: Require = choice(
        Require.NONE, "What a job must have: `none`, `digest` or `signature`."
    )
    keys: Sequence[PublicKey] = several(
        tuple,
        {
            "public_keys": Option(
                "Files with public keys, separated by blanks. Any of them may match."
            )
        },
    )
    authorities: Sequence[Certificate] = several(
        tuple,
        {"cafile": Option("Certificates (PEM) of the authorities whose signers are believed.")},
    )
    bind_version: bool = flag(True, "Whether a signature must name the version as well.")
    product: str = pattern(
        "",
        "The product that a signature must name. Needs keys or `cafile`, and `bind_version`.",
        r"([A-Za-z0-9._:+-]([A-Za-z0-9._:+ -]{0,126}[A-Za-z0-9._:+-])?)?",
        "of a product: 1 to 128 letters, digits and ._:+- with blanks in between",
    )
    installer_verifies: bool = flag(
        False, "With `install_url`: that the installer verifies the file, as `require` says."
    )
    allow_downgrade: Downgrades = choice(
        Downgrades.YES, "Whether an older version may be installed: `yes`, `forced` or `no`."
    )


_RULES = "`always`, `window`, `ask` or `ask-or-window`"


@dataclass(frozen=True, repr=False)
class PolicySettings:
    """``[policy]``: when the steps of a job may begin; times are in seconds.

    :ivar deadline: ``None`` for never.
    :ivar users: the ids of the users who may decide beside root and the agent's own.
    """

    download: StepRule = choice(StepRule.ALWAYS, f"When a download may begin: {_RULES}.")
    install: StepRule = choice(StepRule.ALWAYS, f"When the install hook may run: {_RULES}.")
    restart: StepRule = choice(StepRule.ALWAYS, f"When the restart hook may run: {_RULES}.")
    window: Windows | None = own(
        None, "Windows by the local clock: `02:00-05:00, Sat-Sun 22:00-06:00`."
    )
    timezone: str = own("", "The time zone of the windows: `Europe/Berlin`.", "the system's")
    deadline: float | None = own(
        None, "A job that has waited for so long goes on anyway: `7d`.", "never"
    )
    clock_patience: float = own(
        CLOCK_PATIENCE, "How long a step waits for a clock that is right.", "`1d`"
    )
    force_skips_policy: bool = flag(False, "Whether a job with `force` waits for nothing.")
    users: Sequence[int] = own(
        (),
        "Users who may approve, defer, pause and install, separated by blanks.",
        "root and the agent's",
    )


@dataclass(frozen=True, repr=False)
class InventorySettings:
    """``[inventory]``: off without a package."""

    package: str = pattern(
        "",
        "The package of the Software Package Catalog that the version hook speaks of.",
        r"[a-zA-Z0-9._-]{0,128}",
        "of a package name (1 to 128)",
    )
    hook: tuple[str, ...] = own((), "Prints attributes of the package: lines of `key=value`.")


@dataclass(frozen=True, repr=False)
class ControlSettings:
    """``[control]``; without a path the socket is off, without an address the page."""

    socket: Path | None = own(
        default_socket(),
        "The socket of `upparat status`, `log` and `check-now`; `off` makes none.",
        "`/run/upparat/control.sock` for root, `$XDG_RUNTIME_DIR/upparat/control.sock` for others",
    )
    mode: str = permissions("0660", "The permissions of the socket.")
    group: str | None = own(None, "The group of the socket.", "the agent's group")
    http: ListenAddress | None = own(
        None, "A page about the agent and metrics for Prometheus are at this `ADDRESS:PORT`."
    )
    http_anywhere: bool = flag(False, "Whether `http` may be an address that others can reach.")


@dataclass(frozen=True, repr=False)
class DeltaSettings:
    """``[delta]``: off without seeds and ``keep``."""

    seeds: tuple[Path, ...] = own(
        (),
        "What the device runs: block devices or files, separated by blanks. They are only read.",
    )
    keep: bool = flag(False, "Whether the last file is kept, and is a seed of the next one.")

    @property
    def on(self) -> bool:
        return bool(self.seeds) or self.keep


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings of all sections.

    :ivar problems: of the file, with which the agent runs all the same.
    :ivar unfit: why no file may be downloaded: the first of the problems that forbid it.
    """

    service: ServiceSettings = field(default_factory=ServiceSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    download: DownloadSettings = field(default_factory=DownloadSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    inventory: InventorySettings = field(default_factory=InventorySettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    delta: DeltaSettings = field(default_factory=DeltaSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    problems: Sequence[str] = ()
    unfit: str = ""


SECTIONS: Mapping[str, type] = {
    "service": ServiceSettings,
    "broker": BrokerSettings,
    "hooks": HookSettings,
    "download": DownloadSettings,
    "verify": VerifySettings,
    "inventory": InventorySettings,
    "control": ControlSettings,
    "delta": DeltaSettings,
    "policy": PolicySettings,
}

"""The ``twistd`` plugin's options and service maker."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TextIO, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.logfile import LogFile

from .config.reader import ConfigError, load
from .config.settings import Settings
from .log import make_observer
from .reactor import abort, prepare_reactor
from .service import UpparatService

LOG_FILES = 5
"""The number of rotated log files, of 1 MB each. Few, because flash is small."""


class Options(usage.Options):
    """``twistd [twistd's options] upparat [these]``."""

    synopsis = "[options]"
    longdesc = "Follow AWS IoT Jobs and install the updates that they name."
    optParameters: ClassVar = [
        ["config", "c", None, "The configuration file."],
        ["thing-name", "t", "", "Overrides [broker] thing_name."],
    ]

    settings: Settings

    def postOptions(self) -> None:
        self.settings = load_or_exit(self["config"], self["thing-name"])
        if self.parent is not None:
            choose_logger(self.parent, self.settings.service.log_level)


def load_or_exit(path: str | None, thing_name: str) -> Settings:
    """Load the configuration, or print every problem to stderr and exit with status 2."""
    try:
        return load(path, thing_name)
    except ConfigError as error:
        for problem in error.problems:
            print(f"upparat: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


def choose_logger(twistd: dict[str, object], level: str) -> None:
    """Have ``twistd`` log in the agent's format and level, to the file that its options name.

    Its options ``--logger`` and ``--syslog`` take precedence. Call this while the options are
    read, because ``twistd`` chooses its logger right afterwards.
    """
    if not twistd.get("logger") and not twistd.get("syslog"):
        _log.level, _log.path = level, _log_path(twistd)
        twistd["logger"] = f"{__name__}.observer"


def observer() -> ILogObserver:
    """Make the observer of ``twistd``, which calls it by its dotted name, without arguments."""
    file = _log_file(_log.path) if _log.path else sys.stdout
    return make_observer(_log.level, file)


@dataclass
class _Log:
    """Passes the choice of ``choose_logger`` to ``observer``. An empty path means stdout."""

    level: str = "WARNING"
    path: str = ""


_log = _Log()


def _log_path(twistd: Mapping[str, object]) -> str:
    """Return the path that ``twistd`` would log to; empty for stdout.

    Without a named file that is stdout in the foreground.
    """
    path, foreground = str(twistd.get("logfile") or ""), bool(twistd.get("nodaemon"))
    if path == "-" and not foreground:
        raise usage.UsageError("a daemon cannot log to stdout")
    if path == "-":
        return ""
    return path or ("" if foreground else "twistd.log")


def _log_file(path: str) -> TextIO:
    return cast("TextIO", LogFile.fromFullPath(path, maxRotatedFiles=LOG_FILES))


def make_agent(reactor: ReactorBase, settings: Settings) -> UpparatService:
    """Prepare the reactor, and make the agent on it."""
    prepare_reactor(reactor)
    return UpparatService(
        reactor,  # type: ignore[arg-type]
        settings,
        lambda: abort(reactor),
    )


def makeService(options: Options) -> IService:
    """Make the agent for ``twistd``."""
    from twisted.internet import reactor

    return make_agent(cast("ReactorBase", reactor), options.settings)

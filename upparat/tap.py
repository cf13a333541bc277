"""The ``twistd`` plugin's options and service maker."""

from __future__ import annotations

import resource
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, TextIO, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.logfile import LogFile

from .adapters.lookup import Lookups
from .config import ConfigError, Settings, load
from .log import make_observer
from .service import UpparatService

_logger = Logger()

LOG_FILES = 5
"""Rotated log files that are kept, of 1 MB each: flash is small."""


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
    """Load the configuration, or tell every problem on stderr and leave with status 2."""
    try:
        return load(path, thing_name)
    except ConfigError as error:
        for problem in error.problems:
            print(f"upparat: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


def choose_logger(twistd: dict[str, object], level: str) -> None:
    """Log by our level and format to where ``twistd`` was told to.

    Its own ``--logger`` and ``--syslog`` stand. This has to happen while the options are read:
    afterwards ``twistd`` has chosen.
    """
    if not twistd.get("logger") and not twistd.get("syslog"):
        _log.level, _log.path = level, _log_path(twistd)
        twistd["logger"] = f"{__name__}.observer"


def observer() -> ILogObserver:
    """What ``twistd`` logs to: it takes the dotted name of a function, and no arguments."""
    file = _log_file(_log.path) if _log.path else sys.stdout
    return make_observer(_log.level, file)


@dataclass
class _Log:
    """What ``choose_logger`` has to tell ``observer``; an empty path means stdout."""

    level: str = "WARNING"
    path: str = ""


_log = _Log()


def _log_path(twistd: Mapping[str, object]) -> str:
    """Where ``twistd`` itself would log to: stdout in the foreground, unless a file is named."""
    path, foreground = str(twistd.get("logfile") or ""), bool(twistd.get("nodaemon"))
    if path == "-" and not foreground:
        raise usage.UsageError("a daemon cannot log to stdout")
    if path == "-":
        return ""
    return path or ("" if foreground else "twistd.log")


def _log_file(path: str) -> TextIO:
    return cast("TextIO", LogFile.fromFullPath(path, maxRotatedFiles=LOG_FILES))


def prepare_reactor(reactor: ReactorBase) -> None:
    """Make the reactor fit for a service on a device.

    Its timers count on a clock that never jumps: Twisted's own is the time of day, which NTP sets
    when a device without a battery has booted. No lookup of a name keeps it from ending. And it
    stops on a signal with status 0: by itself Twisted would kill the process with the same signal
    once more.
    """
    reactor.seconds = time.monotonic
    reactor.installNameResolver(Lookups(reactor))
    reactor.callWhenRunning(_handle_signals, reactor)
    reactor.addSystemEventTrigger("after", "shutdown", setattr, reactor, "_exitSignal", None)


def _handle_signals(reactor: ReactorBase) -> None:
    """Stop on a signal, but in a turn of the reactor, which is all that the signal wakes.

    Twisted's own handlers log at once. They could interrupt the writing of another line just when
    the lock of the log file is taken but not yet known to be ours, and would wait for it for ever.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)):  # a shell's background job ignores SIGINT
            signal.signal(number, lambda number, _: reactor.callFromThread(_stop, reactor, number))


def _stop(reactor: ReactorBase, number: int) -> None:
    _logger.info("Received {name}, shutting down", name=signal.Signals(number).name)
    with suppress(ReactorNotRunning):  # it is the second signal
        reactor.stop()


def abort(reactor: ReactorBase) -> None:
    """Stop in an orderly way, and then die of SIGABRT, as ``abort(3)`` does: whoever supervises
    the process sees that it went wrong, and starts it again.

    No core is dumped: it would hold the secrets of the configuration and of the job.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reactor.addSystemEventTrigger(
        "after", "shutdown", setattr, reactor, "_exitSignal", signal.SIGABRT
    )
    reactor.stop()


def make_agent(reactor: ReactorBase, settings: Settings) -> UpparatService:
    """The agent on a reactor that is made fit for it."""
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

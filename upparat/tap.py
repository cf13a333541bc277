"""The ``twistd`` plugin's options and service maker."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TextIO, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.logfile import LogFile
from twisted.python.util import runAsEffectiveUser

from .config.reader import ConfigError, load
from .config.settings import Settings
from .log import make_observer
from .private import NotPrivate
from .reactor import abort, prepare_reactor
from .storage.lock import Claim, Held

if TYPE_CHECKING:
    from .service import UpparatService

IN_USE = 75
"""The exit status of an agent whose directories another agent has: ``EX_TEMPFAIL`` of sysexits(3).
It may be started again later."""

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
        must_run = not started_by_hand()
        self.settings = load_or_exit(self["config"], self["thing-name"], must_run=must_run)
        if self.parent is not None:
            choose_logger(self.parent, self.settings.service.log_level)


def load_or_exit(
    path: str | None, thing_name: str, *, must_run: bool, online: bool = True
) -> Settings:
    """Load the configuration, or print every problem to stderr and exit with status 2.

    :param must_run: accept the problems that an agent can run with.
    :param online: the agent is to connect. Otherwise a problem with that is none.
    """
    try:
        return load(path, thing_name, must_run=must_run, online=online)
    except ConfigError as error:
        for problem in error.problems:
            print(f"upparat: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


def started_by_hand() -> bool:
    """Whether somebody at a terminal has started the agent: who is there to mend the file must hear
    of each problem at once. The console of a device is no such terminal when init runs on it."""
    try:
        here = os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return False
    return here and sys.stderr is not None and sys.stderr.isatty()


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


def claim_or_exit(settings: Settings) -> Claim:
    """Claim the agent's directories, or print to stderr who has them and exit.

    The exit status is 2 if the directories are not the agent's alone, and :data:`IN_USE` if another
    agent works in them.
    """
    service = settings.service
    try:
        return Claim(service.state_dir, service.download_location)
    except (NotPrivate, Held) as problem:
        print(f"upparat: {problem}", file=sys.stderr)
        raise SystemExit(IN_USE if isinstance(problem, Held) else 2) from None


def make_agent(
    reactor: ReactorBase, settings: Settings, claim: Claim, *, online: bool = True
) -> UpparatService:
    """Prepare the reactor, and make the agent on it.

    :param online: connect to the broker. Otherwise only installs by hand are done.
    """
    prepare_reactor(reactor)
    with no_garbage():
        from .service import UpparatService

    return UpparatService(
        reactor,  # type: ignore[arg-type]
        settings,
        lambda: abort(reactor),
        claim,
        online=online,
    )


@contextmanager
def no_garbage() -> Iterator[None]:
    """Keep the garbage collector from looking through what is imported, now or ever: none of it is
    garbage, and the search takes a tenth of the time of a start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def makeService(options: Options) -> IService:
    """Make the agent for ``twistd``, which forks and changes its user only afterwards."""
    from twisted.internet import reactor

    twistd: Mapping[str, Any] = options.parent or {}
    uid, gid = twistd.get("uid"), twistd.get("gid")
    claim: Claim = runAsEffectiveUser(
        os.geteuid() if uid is None else uid,
        os.getegid() if gid is None else gid,
        claim_or_exit,
        options.settings,
    )
    return make_agent(cast("ReactorBase", reactor), options.settings, claim)

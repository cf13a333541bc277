"""``upparat run``: the same service as the ``twistd`` plugin's, in the foreground.

Importing this module installs the global reactor.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.internet.error import ReactorNotRunning
from twisted.logger import globalLogBeginner

from upparat.config.settings import Settings
from upparat.log import make_observer
from upparat.storage.lock import Claim
from upparat.tap import claim_or_exit, make_agent, started_by_hand

from .configured import add_arguments as add_arguments
from .configured import settings_of

if TYPE_CHECKING:
    from upparat.control.desk import Desk
    from upparat.service import UpparatService

_base = cast("ReactorBase", reactor)


def run(arguments: argparse.Namespace) -> None:
    """Run the agent until SIGTERM or SIGINT; ``-v`` overrides the log level of the file."""
    settings = settings_of(arguments, must_run=not started_by_hand())
    if arguments.verbose:
        service = dataclasses.replace(settings.service, log_level="DEBUG")
        settings = dataclasses.replace(settings, service=service)
    run_agent(settings)


def run_agent(settings: Settings) -> None:
    """Run the agent on the global reactor, and log to stderr."""
    claim = claim_or_exit(settings)
    _log(settings.service.log_level)
    _run(make_agent(_base, settings, claim))


def run_offline(
    settings: Settings, claim: Claim, begin: Callable[[Desk, Callable[[], None]], None]
) -> None:
    """Run the agent on the global reactor without a connection. Warnings go to stderr.

    :param begin: called when the agent runs, with its desk and a function that stops it.
    """
    _log("WARNING")
    # The terminal has gone, with a dropped connection: nothing else tells the agent.
    signal.signal(signal.SIGHUP, lambda *_: _base.callFromThread(_stop))
    agent = make_agent(_base, settings, claim, online=False)
    if agent.control is not None:  # an agent that is not online has one
        _base.callWhenRunning(begin, agent.control.desk, _stop)
    _run(agent)


def _log(level: str) -> None:
    observer = make_observer(level, sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def _run(agent: UpparatService) -> None:
    # twisted.application.app would do the same, and imports the debugger for that.
    agent.startService()
    _base.addSystemEventTrigger("before", "shutdown", agent.stopService)
    _base.run()
    if _base._exitSignal is not None:
        os.abort()


def _stop() -> None:
    with suppress(ReactorNotRunning):  # a signal has stopped it before
        _base.stop()

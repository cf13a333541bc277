"""``upparat run``: the same service as the ``twistd`` plugin's, in the foreground.

Importing this module installs the global reactor.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from typing import cast

from twisted.application import app
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.logger import globalLogBeginner

from upparat.config.settings import Settings
from upparat.log import make_observer
from upparat.tap import claim_or_exit, make_agent, started_by_hand

from .configured import add_arguments as add_arguments
from .configured import settings_of


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
    observer = make_observer(settings.service.log_level, sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    base = cast("ReactorBase", reactor)
    application = Application("upparat")
    make_agent(base, settings, claim).setServiceParent(application)
    app.startApplication(application, False)
    base.run()
    if base._exitSignal is not None:
        os.abort()

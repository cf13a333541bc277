"""``upparat run``: the same service as the ``twistd`` plugin's, in the foreground."""

from __future__ import annotations

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
from upparat.tap import make_agent


def run(settings: Settings) -> None:
    """Run the agent on the global reactor, logging to stderr."""
    observer = make_observer(settings.service.log_level, sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    base = cast("ReactorBase", reactor)
    application = Application("upparat")
    make_agent(base, settings).setServiceParent(application)
    app.startApplication(application, False)
    base.run()
    if base._exitSignal is not None:
        os.abort()

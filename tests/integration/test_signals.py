"""Signals that come at the worst moment, in a process of their own."""

from __future__ import annotations

import signal

import pytest

from tests.support.python import run_python

PROCESS = """
import os, signal, sys, threading
from twisted.internet import reactor
from twisted.logger import Logger, globalLogBeginner
from upparat.log import event_text
from upparat.reactor import prepare_reactor

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
lock = threading.Lock()

def write(event):
    # A log file would wait here for ever.
    if not lock.acquire(blocking=False):
        os._exit(1)
    text = event_text(event)
    if text == "now":
        signal.raise_signal(int(sys.argv[1]))
    print(text, flush=True)
    lock.release()

globalLogBeginner.beginLoggingTo([write], redirectStandardIO=False)
prepare_reactor(reactor)
reactor.callLater(0, Logger().info, "now")
reactor.run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_line_of_the_log_is_being_written(number: signal.Signals) -> None:
    """What handles the signal writes a line itself."""
    done = run_python(PROCESS, str(int(number)))
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert told[0] == "now"
    assert told[1] == f"Received {number.name}, shutting down"

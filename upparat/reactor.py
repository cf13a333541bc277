"""Prepares the global reactor for a service on a device: clock, resolver, signals and exit."""

from __future__ import annotations

import resource
import signal
import time
from contextlib import suppress

from twisted.internet.base import ReactorBase
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from .net.resolver import DaemonResolver

_logger = Logger()


def prepare_reactor(reactor: ReactorBase) -> None:
    """Prepare the reactor for a service on a device.

    Its timers use the monotonic clock, because the time of day jumps when NTP sets it after the
    boot of a device without a battery. Its resolver does not delay the exit of the process. A
    signal stops it with status 0, because Twisted would otherwise end the process by sending it
    the same signal again.
    """
    reactor.seconds = time.monotonic
    reactor.installNameResolver(DaemonResolver(reactor))
    reactor.callWhenRunning(_handle_signals, reactor)
    reactor.addSystemEventTrigger("after", "shutdown", setattr, reactor, "_exitSignal", None)


def _handle_signals(reactor: ReactorBase) -> None:
    """Install signal handlers that only wake the reactor, which then stops in a turn of its own.

    Twisted's handlers log at once. If one interrupts the writing of another line just after that
    has taken the lock of the log file, it waits for the lock for ever.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)):  # a shell's background job ignores SIGINT
            signal.signal(number, lambda number, _: reactor.callFromThread(_stop, reactor, number))


def _stop(reactor: ReactorBase, number: int) -> None:
    _logger.info("Received {name}, shutting down", name=signal.Signals(number).name)
    with suppress(ReactorNotRunning):  # this is the second signal
        reactor.stop()


def abort(reactor: ReactorBase) -> None:
    """Stop in an orderly way, and then end the process with SIGABRT, as ``abort(3)`` does.

    The supervisor sees the failure and starts the agent again. No core is dumped, because it would
    hold the secrets of the configuration and of the job.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reactor.addSystemEventTrigger(
        "after", "shutdown", setattr, reactor, "_exitSignal", signal.SIGABRT
    )
    reactor.stop()

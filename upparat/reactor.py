"""The global reactor, made fit for a service on a device: its clock, resolver, signals and end."""

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
    """Make the reactor fit for a service on a device.

    Its timers count on a clock that never jumps: Twisted's own is the time of day, which NTP sets
    when a device without a battery has booted. No lookup of a name keeps it from ending. And it
    stops on a signal with status 0: by itself Twisted would kill the process with the same signal
    once more.
    """
    reactor.seconds = time.monotonic
    reactor.installNameResolver(DaemonResolver(reactor))
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

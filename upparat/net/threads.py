"""Daemon threads for blocking work that cannot be interrupted."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

_T = TypeVar("_T")


def defer_to_daemon_thread(
    reactor: IReactorFromThreads, work: Callable[[], _T], name: str
) -> Deferred[_T]:
    """Run ``work`` in a new daemon thread, which the end of the process does not wait for.

    Twisted's ``deferToThread`` uses the reactor's pool, which is joined at exit: a name lookup
    without an answer would hold up the stop until the platform gives the lookup up.

    The Deferred fires with the result of ``work``, or fails with what it raises. It fails with
    ``RuntimeError`` if the system has no more threads.

    :param name: of the thread, which is called ``upparat-<name>``.
    """
    done: Deferred[_T] = Deferred()

    def run() -> None:
        try:
            result = work()
        except Exception:
            reactor.callFromThread(done.errback, Failure())
        else:
            reactor.callFromThread(done.callback, result)

    try:
        Thread(target=run, name=f"upparat-{name}", daemon=True).start()
    except RuntimeError:
        done.errback()
    return done

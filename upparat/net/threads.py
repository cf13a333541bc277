"""Work that nothing can interrupt, in threads that nobody has to wait for."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

_T = TypeVar("_T")


def in_daemon(reactor: IReactorFromThreads, work: Callable[[], _T], name: str) -> Deferred[_T]:
    """Fires with what ``work`` returns or raises; fails with ``RuntimeError`` if the system has no
    more threads.

    The reactor's pool is joined at exit: with a name lookup that gets no answer, a stop would
    take as long as the platform goes on asking. A daemon goes with the process.
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

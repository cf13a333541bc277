"""Threads that nobody waits for."""

from __future__ import annotations

import threading
from typing import NoReturn

import pytest
import pytest_twisted

from tests.support.reactor import reactor
from upparat.net.threads import defer_to_daemon_thread


@pytest_twisted.ensureDeferred
async def test_what_it_returns() -> None:
    thread = await defer_to_daemon_thread(reactor, threading.current_thread, "test")
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("upparat-test", True)


@pytest_twisted.ensureDeferred
async def test_what_it_raises() -> None:
    def fail() -> NoReturn:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await defer_to_daemon_thread(reactor, fail, "test")


@pytest_twisted.ensureDeferred
async def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError):
        await defer_to_daemon_thread(reactor, lambda: None, "test")

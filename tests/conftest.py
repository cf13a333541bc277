"""Rules for all tests. With ``UPPARAT_NO_SKIPS=1`` a skipped test is a failed one."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.support.sweep import LONG

NO_SKIPS = "UPPARAT_NO_SKIPS"

# pytest asks for Twisted's version before each test, which costs as much as a short test.
importlib.metadata.version = functools.cache(importlib.metadata.version)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and they hand it on to what the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def admit_no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure that tells the reason; an expected failure stays what it is."""
    if os.environ.get(NO_SKIPS) == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{NO_SKIPS}=1 admits no skip: {reason}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that take long, unless they are asked for."""
    long = [item for item in items if item.get_closest_marker("long") and not LONG]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True, scope="session")
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trial makes a directory for temporary files below its own; without it they are strewn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            SynchronousTestCase, "mktemp", lambda _: str(tmp_path_factory.mktemp("trial") / "temp")
        )
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    admit_no_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    admit_no_skip(report)
    return report

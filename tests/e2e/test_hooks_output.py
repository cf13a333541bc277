"""What hooks print: progress, versions, the log, and what AWS would not take as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import (
    ALL_CALLS,
    INSTALLING,
    RESTARTING,
    STARTED,
    SUCCEEDED,
    Step,
    Updates,
    nothing_secret_is_logged,
)
from tests.support.scripts import complain, leave, say, say_raw, show, wait_for_file
from upparat.job import Hook


@pytest.fixture(autouse=True)
def _no_secrets(tmp_path: Path) -> Iterator[None]:
    with nothing_secret_is_logged(tmp_path / "agent"):
        yield


def progress(line: str) -> Step:
    return ("IN_PROGRESS", "installation_progress", line)


def with_progress(*lines: str) -> list[Step]:
    """The history of an update whose installer has printed these lines."""
    return [STARTED, INSTALLING, *map(progress, lines), *SUCCEEDED[2:]]


# --- progress ---


def test_lines_of_the_install_hook_are_progress(updates: Updates, tmp_path: Path) -> None:
    lines = ["erasing", "writing 50 %", "writing 100 %"]
    seen = [tmp_path / f"seen-{number}" for number in range(3)]
    plan = [(say(line), wait_for_file(file)) for line, file in zip(lines, seen, strict=True)]
    updates.hooks.install([step for pair in plan for step in pair])
    updates.start()
    updates.create()
    for line, file in zip(lines, seen, strict=True):
        updates.wait_for_step(progress(line))
        file.touch()
    assert updates.end() == with_progress(*lines)


def test_the_last_line_comes_before_a_failure(updates: Updates) -> None:
    updates.hooks.install([say("no space left on device"), leave(1)])
    assert updates.run() == [
        STARTED,
        INSTALLING,
        progress("no space left on device"),
        ("FAILED", "installation_hook_failed", "Exit code: 1"),
    ]


def test_each_try_prints(updates: Updates) -> None:
    updates.hooks.install([say("the battery is low"), leave(3)], [say("writing")])
    assert updates.run() == with_progress("the battery is low", "writing")


def test_lines_of_other_hooks_are_not(updates: Updates) -> None:
    hooks = updates.hooks
    hooks.version([say("looking"), show(hooks.version_file)])
    hooks.download([say("checking the line")])
    hooks.restart([say("restarting"), hooks.become("2.0")])
    hooks.ready([say("looking around")])
    assert updates.run() == SUCCEEDED


# --- odd output: the cloud of the tests counts control characters as breaches ---


ODD = "\x1b[1;32mok\x1b[0m\tbell\x07 \udcff \U0001f600"


@pytest.mark.parametrize(
    ("printed", "message"),
    [(ODD, "ok bell \ufffd \U0001f600"), ("x" * 10_000_000, "\u2026" + "x" * 1023)],
    ids=["ANSI, controls, no UTF-8, no newline", "10 MB without newline"],
)
def test_odd_output(printed: str, message: str, updates: Updates) -> None:
    updates.hooks.install([say_raw(printed)])
    history = updates.run()
    told = [step for step in history if step[1] == "installation_progress"]
    assert told[-1] == progress(message)
    assert [step for step in history if step not in told] == SUCCEEDED


def test_output_without_anything_to_see(updates: Updates) -> None:
    updates.hooks.install([say_raw("\n\n \n\t\r\x1b[2J\x1b[0m\n\x07\n")])
    assert updates.run() == SUCCEEDED


def test_10000_lines(updates: Updates) -> None:
    lines = [f"block {number}" for number in range(10_000)]
    updates.hooks.install([say(*lines)])
    history = updates.run()
    told = [step[2] for step in history if step[1] == "installation_progress"]
    assert history == with_progress(*told)
    assert told[-1] == "block 9999"
    numbers = [lines.index(line) for line in told]
    assert numbers == sorted(set(numbers))


def test_odd_output_of_every_hook(updates: Updates) -> None:
    """Much of it, on both channels: nothing blocks, nothing is taken for anything else."""
    hooks = updates.hooks
    odd = ("\x1b[31m\udcff\x00\t" + "y" * 300_000 + "\n") * 4
    noise = [say_raw(odd), ["say", 2, odd]]
    hooks.version([*noise, show(hooks.version_file)])
    hooks.download(noise)
    hooks.restart([*noise, hooks.become("2.0")])
    hooks.ready(noise)
    assert updates.run() == SUCCEEDED
    assert updates.names() == ALL_CALLS


# --- the version ---


def test_the_last_line_that_is_not_blank_is_the_version(updates: Updates) -> None:
    updates.hooks.version([say_raw("looking\n1.9\n  2.0 \t\n\n \n")])
    assert updates.run() == [("SUCCEEDED", "version_already_installed", "none")]


def test_the_version_of_an_earlier_try_does_not_count(updates: Updates) -> None:
    """What a hook prints before it asks for another try is not its answer."""
    updates.hooks.version([say("2.0"), leave(3)], [])
    updates.start(hooks={"restart_grace": 0.2, "restart_timeout": 0.2})
    assert updates.run()[-1] == (
        "FAILED",
        "version_mismatch",
        "Expected version '2.0', got ''",
    )


def test_an_odd_version_is_reported_readably(updates: Updates) -> None:
    updates.hooks.version([say_raw("1\t\x1b[31m\udcff\x00\n")])
    updates.start(hooks={"restart_grace": 0.2, "restart_timeout": 0.2})
    last = ("FAILED", "version_mismatch", "Expected version '2.0', got '1 \ufffd '")
    assert updates.run() == [STARTED, INSTALLING, RESTARTING, last]


# --- stderr ---


def test_stderr_goes_to_the_log(updates: Updates) -> None:
    hooks = updates.hooks
    hooks.version([show(hooks.version_file), complain("version: 2.0", "2.0")])
    hooks.download([complain("download: \x1b[31mred\x1b[0m\x07\talert")])
    hooks.install([say("writing"), ["say", 2, "install: \udcff without an end"]])
    hooks.restart([complain("restart: now"), hooks.become("2.0")])
    hooks.ready([complain("ready: no"), leave(4)])
    device = updates.start()
    last = ("FAILED", "ready_hook_failed", "Exit code: 4")
    assert updates.run() == [*with_progress("writing")[:-1], last]
    logged = [line for line in device.log.splitlines() if "stderr: " in line]
    assert [line.partition("] ")[2] for line in logged] == [
        "job-1: version hook, stderr: version: 2.0",
        "job-1: version hook, stderr: 2.0",
        "job-1: download hook, stderr: download: red alert",
        "job-1: install hook, stderr: install: \ufffd without an end",
        "job-1: restart hook, stderr: restart: now",
        "job-1: version hook, stderr: version: 2.0",
        "job-1: version hook, stderr: 2.0",
        "job-1: ready hook, stderr: ready: no",
    ]
    assert ["#warn]" in line for line in logged] == [False] * 7 + [True]


def test_stdout_goes_to_the_log_at_debug(updates: Updates) -> None:
    for hook in (Hook.DOWNLOAD, Hook.INSTALL, Hook.READY):
        updates.hooks.set(hook, [say(f"{hook} \x1b[31mspeaks\x1b[0m")])
    device = updates.start()
    assert updates.run() == with_progress("install speaks")
    for hook in (Hook.DOWNLOAD, Hook.INSTALL, Hook.READY):
        assert f"#debug] job-1: {hook} hook: {hook} speaks\n" in device.log

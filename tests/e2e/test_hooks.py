"""What hooks are told, in which order they are called, and what is left out without them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import (
    ALL_CALLS,
    INSTALLING,
    META,
    RESTARTING,
    STARTED,
    SUCCEEDED,
    Updates,
    environment,
    nothing_secret_is_logged,
)
from tests.support.scripts import leave, say, show
from upparat.job import Hook


@pytest.fixture(autouse=True)
def _no_secrets(tmp_path: Path) -> Iterator[None]:
    with nothing_secret_is_logged(tmp_path / "agent"):
        yield


# --- is it needed? ---


def test_the_version_is_there_already(updates: Updates) -> None:
    updates.hooks.version_file.write_text("2.0")
    assert updates.run() == [("SUCCEEDED", "version_already_installed", "none")]
    assert updates.names() == ["version"]
    assert updates.file.requests == []


def test_force_installs_the_version_that_is_there_already(updates: Updates) -> None:
    updates.hooks.version_file.write_text("2.0")
    assert updates.run(force=True) == SUCCEEDED
    assert updates.names() == ["install", "restart", "version", "ready"]
    assert [call.argv[3:] for call in updates.calls(hook="restart")] == [["True"]]
    assert {call.env["UPPARAT_FORCE"] for call in updates.calls()} == {"True"}


# --- arguments ---


def test_what_each_hook_is_told(updates: Updates) -> None:
    device = updates.start()
    assert updates.run() == SUCCEEDED
    assert updates.names() == ALL_CALLS
    file = str(device.directory / "downloads" / "upparat" / "job-1")
    assert [call.argv for call in updates.calls()] == [
        ["0", "0", META],
        ["0", "0", META],
        ["0", "0", META, file],
        ["0", "0", META, ""],
        ["0", "0", META],
        ["0", "0", META],
    ]
    assert [call.env for call in updates.calls()] == [
        environment(call, device) for call in updates.calls()
    ]
    assert [call.env["UPPARAT_FILE"] for call in updates.calls()] == ["", "", file, "", "", ""]
    assert {call.stdin for call in updates.calls()} == {""}


@pytest.mark.parametrize("force", [False, None], ids=["false", "null"])
def test_no_force(force: bool | None, updates: Updates) -> None:
    assert updates.run(force=force) == SUCCEEDED
    assert [call.argv[3:] for call in updates.calls(hook="restart")] == [[""]]
    assert updates.names() == ALL_CALLS


def test_meta(updates: Updates) -> None:
    """A string as it is, nothing for none, anything else as JSON."""
    forms: list[tuple[object, str]] = [
        ("secret \"quoted\" 'text' $HOME\n\tgrüße ", "secret \"quoted\" 'text' $HOME\n\tgrüße "),
        ('{"secret": 1}', '{"secret": 1}'),
        ({"channel": "secret", "slots": [1, None]}, '{"channel": "secret", "slots": [1, null]}'),
        ({}, "{}"),
        (["secret", 1.5], '["secret", 1.5]'),
        (42, "42"),
        (False, "false"),
        ("", ""),
        (None, ""),
    ]
    for number, (meta, told) in enumerate(forms):
        updates.run(f"job-{number}", version="1.0", meta=meta)
        (call,) = updates.calls(f"job-{number}")
        assert (call.argv, call.env["UPPARAT_META"]) == (["0", "0", told], told)


def test_commands_with_arguments(updates: Updates) -> None:
    updates.hooks.install([])
    options = updates.hooks.options
    for hook in list(options):
        options[hook] = f"{shlex.quote(options[hook])} --{hook} 'two words' \"\""
    assert updates.run() == SUCCEEDED
    assert [call.argv[:6] for call in updates.calls()] == [
        [f"--{hook}", "two words", "", "0", "0", META] for hook in ALL_CALLS
    ]
    assert [len(call.argv) for call in updates.calls()] == [6, 6, 7, 7, 6, 6]


# --- hooks that are not configured ---


@pytest.mark.parametrize(
    ("missing", "history", "called"),
    [
        (
            Hook.VERSION,
            [
                STARTED,
                INSTALLING,
                RESTARTING,
                ("SUCCEEDED", "complete_no_version_check", "none"),
            ],
            ["download", "install", "restart"],
        ),
        (Hook.DOWNLOAD, SUCCEEDED, ["version", "install", "restart", "version", "ready"]),
        (
            Hook.INSTALL,
            [STARTED, ("SUCCEEDED", "no_installation_hook_provided", "none")],
            ["version", "download"],
        ),
        (
            Hook.RESTART,
            [STARTED, INSTALLING, ("SUCCEEDED", "no_restart_hook_provided", "none")],
            ["version", "download", "install"],
        ),
        (Hook.READY, SUCCEEDED, ["version", "download", "install", "restart", "version"]),
    ],
    ids=("version", "download", "install", "restart", "ready"),
)
def test_one_is_missing(
    missing: Hook, history: list[tuple[str, str, str]], called: list[str], updates: Updates
) -> None:
    updates.hooks.without(missing)
    assert updates.run() == history
    assert updates.names() == called


def test_all_are_missing(updates: Updates) -> None:
    """The file is the result, and stays."""
    updates.hooks.without(*updates.hooks.options)
    device = updates.start()
    assert updates.run() == [STARTED, ("SUCCEEDED", "no_installation_hook_provided", "none")]
    assert updates.hooks.calls() == []
    file = device.directory / "downloads" / "upparat" / "job-1"
    assert file.read_bytes() == updates.file.content


# --- the version after the restart ---


def test_a_version_that_never_matches(updates: Updates) -> None:
    """It is asked for again, as a first call each time."""
    updates.hooks.restart([])
    updates.start(hooks={"retry_interval": 0.2, "restart_timeout": 3})
    assert updates.run() == [
        STARTED,
        INSTALLING,
        RESTARTING,
        ("FAILED", "version_mismatch", "Expected version '2.0', got '1.0'"),
    ]
    before, *after = [call.argv for call in updates.calls(hook="version")]
    assert len(after) >= 3
    assert [before, *after] == [["0", "0", META]] * (1 + len(after))
    names = updates.names()
    assert names == ["version", "download", "install", "restart", *["version"] * len(after)]


def test_a_version_that_must_match_at_once(updates: Updates) -> None:
    updates.hooks.restart([])
    updates.start(hooks={"restart_grace": 0.5, "restart_timeout": 0.5})
    last = ("FAILED", "version_mismatch", "Expected version '2.0', got '1.0'")
    assert updates.run() == [STARTED, INSTALLING, RESTARTING, last]
    assert updates.names() == ["version", "download", "install", "restart", "version"]


def test_a_version_that_comes_to_match(updates: Updates) -> None:
    updates.hooks.version([show(updates.hooks.version_file)], [say("1.0")], [], [say("2.0")])
    updates.start(hooks={"restart_timeout": 600})
    assert updates.run() == SUCCEEDED
    assert updates.names() == [*ALL_CALLS[:4], "version", "version", "version", "ready"]


def test_a_version_hook_that_prints_nothing(updates: Updates) -> None:
    """No answer is another version than the job's, before the download and after the restart."""
    updates.hooks.version([], [say("", "  ")])
    updates.start(hooks={"restart_grace": 0.2, "restart_timeout": 0.2})
    last = ("FAILED", "version_mismatch", "Expected version '2.0', got ''")
    assert updates.run() == [STARTED, INSTALLING, RESTARTING, last]
    assert updates.names() == ["version", "download", "install", "restart", "version"]


def test_a_version_hook_that_is_not_ready_after_the_restart(updates: Updates) -> None:
    """Its own retries come before the next question."""
    plan = [[say("1.0")], [say("2.0"), leave(3)], [say("1.0")], [say("2.0")]]
    updates.hooks.version(*plan)
    updates.start(hooks={"restart_timeout": 600})
    assert updates.run() == SUCCEEDED
    assert [call.argv[1] for call in updates.calls(hook="version")] == ["0", "0", "1", "0"]
    assert updates.names()[-4:] == ["version", "version", "version", "ready"]

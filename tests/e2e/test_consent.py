"""Windows, consent and deadlines, with the real agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_control import verb, wait_for, waits
from tests.e2e.updates import INSTALLING, RESTARTING, STARTED, SUCCEEDED, Step, Updates
from tests.support.agent import FAKETIME, Agent
from upparat.job import Status

EXAMPLE = Path(__file__).parents[2] / "examples" / "consent" / "ask"
NOBODY = 65534
DAEMON = 1

requires_faketime = pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed")


def asked(step: str) -> Step:
    text = f"{step} waits: somebody has to approve it"
    return ("IN_PROGRESS", "waiting_for_approval", text)


def opens(step: str, when: str) -> Step:
    return ("IN_PROGRESS", "waiting_for_window", f"{step} waits: the window opens at {when} UTC")


@pytest.fixture
def start(updates: Updates, path: Path) -> Callable[..., Agent]:
    """Start the agent with this socket, which everybody may ask, and these rules."""

    def start(**policy: object) -> Agent:
        return updates.start(control={"socket": path, "mode": "0666"}, policy=policy)

    return start


def decided(path: Path, *words: str, user: int | None = None) -> str:
    result = verb(*words, "--socket", path, user=user)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


# --- consent --------------------------------------------------------------------------------------


@pytest.mark.long
def test_each_step_waits_for_consent(
    updates: Updates, start: Callable[..., Agent], path: Path
) -> None:
    device = start(download="ask", install="ask", restart="ask")
    updates.create()
    for step, job in (("download", []), ("install", ["job-1"]), ("restart", [])):
        updates.wait_for_step(asked(step))
        found = wait_for(path, waits("approval"))
        assert found["state"] == "hold"
        assert decided(path, "approve", step, *job) == f"job-1: {step} is approved\n"
    assert updates.end() == [
        asked("download"),
        STARTED,
        asked("install"),
        INSTALLING,
        asked("restart"),
        *SUCCEEDED[-2:],
    ]
    assert device.log.count("is approved, by user 0, process ") == 3
    log = verb("log", "job-1", "--socket", path).stdout
    assert log.count("is approved, by user 0, process ") == 3


@pytest.mark.long
def test_who_may_decide(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    device = start(install="ask", users="daemon")
    updates.create()
    updates.wait_for_step(asked("install"))
    for words in (["approve"], ["defer", "job-1", "1h"], ["pause"], ["resume"]):
        refused = verb(*words, "--socket", path, user=NOBODY)
        assert (refused.returncode, refused.stdout) == (77, "")
        told = f"upparat: user {NOBODY} may not decide: see [policy] users\n"
        assert refused.stderr == told
    assert verb("status", "--socket", path, user=NOBODY).returncode == 0
    assert updates.names() == ["version", "download"]
    assert decided(path, "approve", user=DAEMON) == "job-1: install is approved\n"
    assert updates.end()[-1] == SUCCEEDED[-1]
    assert "job-1: install is approved, by user 1, process " in device.log


def test_a_deferral_and_a_pause(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    device = start()
    decided(path, "pause", "1h")
    assert waits("pause")(wait_for(path, lambda status: status["state"] == "monitor"))
    updates.create()
    wait_for(path, lambda status: status["state"] == "hold")
    assert decided(path, "defer", "job-1", "2h") == "job-1: the job is deferred for 7200 s\n"
    device.kill()
    device.start()
    wait_for(path, lambda status: status["state"] == "hold" and waits("pause")(status))
    decided(path, "resume")
    wait_for(path, waits("deferral"))
    assert updates.names() == ["version"]
    other = verb("defer", "job-2", "1h", "--socket", path)
    assert (other.returncode, other.stderr) == (
        1,
        "upparat: job job-2 is not in hand; job job-1 is\n",
    )
    decided(path, "approve")
    history = updates.end()
    assert history[-1] == SUCCEEDED[-1]
    told = [message for _, state, message in history if state == "waiting_for_approval"]
    assert [text.partition(" until ")[0] for text in told] == [
        "download waits: somebody has paused the agent",
        "download waits: somebody has deferred it",
    ]


# --- power cuts and the end of a wait -------------------------------------------------------------


def test_a_wait_outlives_power_cuts_and_is_reported_once(
    updates: Updates, start: Callable[..., Agent], path: Path
) -> None:
    device = start(install="ask", restart="ask")
    updates.create()
    updates.wait_for_step(asked("install"))
    for _ in range(2):
        device.power_cut()
        device.start()
        wait_for(path, waits("approval"))
    assert updates.history() == [STARTED, asked("install")]
    decided(path, "approve")
    updates.wait_for_step(asked("restart"))
    device.power_cut()
    device.start()
    wait_for(path, lambda status: waits("approval")(status) and status["state"] == "hold")
    decided(path, "approve")
    assert updates.end() == [
        STARTED,
        asked("install"),
        STARTED,
        INSTALLING,
        asked("restart"),
        *SUCCEEDED[-2:],
    ]
    assert updates.names().count("install") == 1


def test_a_reboot_is_the_restart_that_was_waited_for(
    updates: Updates, start: Callable[..., Agent], path: Path
) -> None:
    device = start(restart="ask")
    updates.create()
    updates.wait_for_step(asked("restart"))
    device.power_cut()
    updates.hooks.version_file.write_text("2.0")  # the boot loader has taken what is installed
    device.start()
    assert updates.end()[-1] == ("SUCCEEDED", "complete_ready", "none")
    assert "restart" not in updates.names()


def test_cancelled(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    start(install="ask")
    updates.create()
    updates.wait_for_step(asked("install"))
    updates.cloud.cancel("job-1", force=True)
    wait_for(path, lambda status: status["state"] == "monitor")
    updates.create("job-2")
    updates.cloud.wait_for(lambda: asked("install") in updates.cloud.history("job-2"))
    decided(path, "approve", "install", "job-2")
    assert updates.end("job-2")[-1] == SUCCEEDED[-1]
    assert updates.names("job-1") == ["version", "download"]


def test_the_deadline_counts_over_restarts(
    updates: Updates, start: Callable[..., Agent], path: Path
) -> None:
    device = start(install="ask", deadline="7d")
    updates.create()
    wait_for(path, waits("approval"))
    device.kill()
    change_ledger(device, seen=-3 * 86_400)
    device.start()
    [wait] = wait_for(path, waits("approval"))["waiting"]
    assert 3.9 * 86_400 < wait["seconds"] < 4.1 * 86_400
    device.kill()
    change_ledger(device, seen=-5 * 86_400)
    device.start()
    assert updates.end()[-1] == SUCCEEDED[-1]


def change_ledger(device: Agent, *, seen: float) -> None:
    """Let the agent have been away for so long."""
    [file] = device.directory.rglob("policy.json")
    content: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "seen": content["seen"] + seen}))


# --- windows --------------------------------------------------------------------------------------


@requires_faketime
def test_a_window(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    device = start(restart="window", window="02:00-05:00", timezone="UTC")
    device.stop()
    device.clock = "2027-01-15 12:00:00"
    device.start()
    updates.create()
    updates.wait_for_step(opens("restart", "2027-01-16 02:00"))
    assert updates.names() == ["version", "download", "install"]
    device.kill()
    device.clock = "2027-01-16 01:59:57"  # it opens while the agent runs
    device.start()
    assert updates.end() == [
        STARTED,
        INSTALLING,
        opens("restart", "2027-01-16 02:00"),
        *SUCCEEDED[-2:],
    ]
    assert updates.names().count("install") == 1


@requires_faketime
def test_a_clock_that_is_wrong(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    device = start(install="window", window="00:00-24:00", clock_patience="1h")
    device.stop()
    device.clock = "1970-01-01 00:10:00"
    device.start()
    updates.create()
    wrong = "install waits: the clock of the device is wrong"
    updates.wait_for_step(("IN_PROGRESS", "waiting_for_window", wrong))
    assert waits("clock")(wait_for(path, lambda status: status["state"] == "hold"))
    device.kill()
    device.clock = ""
    device.start()
    assert updates.end()[-1] == SUCCEEDED[-1]


def test_force_may_skip_all(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    start(download="ask", install="ask", restart="ask", force_skips_policy="yes")
    history = updates.run(force=True)
    assert history == SUCCEEDED
    assert updates.cloud.execution("job-1").status is Status.SUCCEEDED
    assert RESTARTING in history


# --- the example ----------------------------------------------------------------------------------


@pytest.mark.long
def test_the_example_asks_the_person_at_the_display(
    updates: Updates, start: Callable[..., Agent], path: Path, tmp_path: Path
) -> None:
    """The person says "later" once, and then "now", to what stands for whiptail."""
    start(install="ask", restart="ask")
    updates.create()
    updates.wait_for_step(asked("install"))
    said = tmp_path / "said"
    whiptail = script(
        tmp_path / "bin" / "whiptail",
        f'echo "$4" >> {said}; [ "$(wc -l < {said})" != 1 ]',
    )
    upparat = script(
        tmp_path / "bin" / "upparat",
        f'exec {Path(sys.executable).parent / "upparat"} "$@" --socket {path}',
    )
    environment = {
        "PATH": f"{whiptail.parent}:{os.environ['PATH']}",
        "UPPARAT": str(upparat),
        "INTERVAL": "0.1",
    }
    with subprocess.Popen([EXAMPLE], env=environment, stdout=subprocess.PIPE) as process:
        try:
            wait_for(path, waits("deferral"))
            decided(path, "defer", "job-1", "1s")
            assert updates.end()[-1] == SUCCEEDED[-1]
        finally:
            process.kill()
    assert said.read_text().splitlines() == [
        *["Version 2.0 is there. May the install begin?"] * 2,
        "Version 2.0 is there. May the restart begin?",
    ]


def script(path: Path, command: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path

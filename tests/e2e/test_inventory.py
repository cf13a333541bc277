"""The package that a device reports to its shadow, with the real agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator import faults
from tests.support.agent import Agent
from tests.support.mosquitto import Mosquitto
from tests.support.policed import PolicedBroker
from tests.support.scripts import leave
from tests.support.waiting import wait_until
from upparat import __version__


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    """A hook that prints what is in the file beside it; it hangs once if there is none."""
    path = tmp_path / "inventory"
    begun, lines = tmp_path / "begun", tmp_path / "lines"
    path.write_text(
        "#!/bin/sh\n"
        f'[ -e "{lines}" ] || [ -e "{begun}" ] || {{ touch "{begun}"; exec sleep 3600; }}\n'
        f'cat "{lines}"\n'
    )
    path.chmod(0o755)
    return path


def start(updates: Updates, hook: Path, lines: str | None = "slot=a\n", **broker: object) -> Agent:
    if lines is not None:
        (hook.parent / "lines").write_text(lines)
    return updates.start(inventory={"package": "app", "hook": hook}, broker=broker)


def reported(updates: Updates) -> list[tuple[str, dict[str, str]]]:
    """Version and attributes of each report that was accepted."""
    packages = [each["app"] for each in updates.cloud.shadow.history]
    return [(package["version"], package["attributes"]) for package in packages]


def wait_for_reports(updates: Updates, count: int) -> None:
    updates.cloud.wait_for(lambda: len(updates.cloud.shadow.history) >= count)


def test_before_and_after_a_job(updates: Updates, hook: Path) -> None:
    agent = start(updates, hook)
    wait_for_reports(updates, 1)
    (hook.parent / "lines").write_text("slot=b\nwrong\n")
    assert updates.run() == SUCCEEDED
    wait_for_reports(updates, 2)
    assert reported(updates) == [
        ("1.0", {"slot": "a", "agent": __version__}),
        ("2.0", {"slot": "b", "agent": __version__}),
    ]
    assert "leaves out (1), the first: line 2 is not key=value" in agent.log


def test_after_a_job_that_fails(updates: Updates, hook: Path) -> None:
    start(updates, hook)
    wait_for_reports(updates, 1)
    (hook.parent / "lines").write_text("slot=half\n")
    updates.hooks.install([leave(1)])
    assert updates.run()[-1][1] == "installation_hook_failed"
    wait_for_reports(updates, 2)
    assert reported(updates)[1][1]["slot"] == "half"


def test_what_has_not_changed_is_not_reported_again(updates: Updates, hook: Path) -> None:
    start(updates, hook)
    wait_for_reports(updates, 1)
    updates.hooks.download([leave(1)])
    updates.run("job-1")
    wait_until(lambda: [each.code for each in updates.calls("", "version")] == [0, 0])
    (hook.parent / "lines").write_text("slot=b\n")
    updates.run("job-2")
    wait_for_reports(updates, 2)
    assert len(updates.cloud.asked("shadow")) == 2


def test_a_job_does_not_wait_for_a_probe(updates: Updates, hook: Path) -> None:
    start(updates, hook, None)
    wait_until((hook.parent / "begun").exists)
    (hook.parent / "lines").write_text("slot=a\n")
    assert updates.run() == SUCCEEDED
    wait_for_reports(updates, 1)
    assert reported(updates)[0][0] == "2.0"


def test_the_next_agent_ends_a_probe_that_a_killed_one_has_left(
    updates: Updates, hook: Path
) -> None:
    agent = start(updates, hook, None)
    wait_until((hook.parent / "begun").exists)
    agent.kill()
    (hook.parent / "lines").write_text("slot=a\n")
    agent.start()
    wait_for_reports(updates, 1)
    assert "The version hook of an agent that was killed still runs" in agent.log


def test_a_refusal_changes_nothing_for_the_jobs(updates: Updates, hook: Path) -> None:
    rule = updates.cloud.on("shadow", faults.rejected("403", "Forbidden"))
    agent = start(updates, hook)
    updates.cloud.wait_for(lambda: rule.hits)
    assert updates.run() == SUCCEEDED
    wait_for_reports(updates, 1)
    assert "The package is not reported: 403: Forbidden" in agent.log


def test_an_answer_that_says_later(updates: Updates, hook: Path) -> None:
    updates.cloud.on("shadow", faults.throttled())
    start(updates, hook)
    wait_for_reports(updates, 1)
    assert len(updates.cloud.asked("shadow")) == 2


def test_a_policy_that_forbids_the_shadow_costs_no_job(
    updates: Updates, hook: Path, broker: Mosquitto
) -> None:
    updates.create("job-1")
    with PolicedBroker(broker.port, b"/shadow/") as policed:
        agent = start(updates, hook, port=policed.port)
        assert updates.end("job-1") == SUCCEEDED
        agent.wait_for_log("The policy may forbid")
        assert policed.closed == 3
        assert updates.run("job-2", version="2.0")[-1][0] == "SUCCEEDED"
        assert policed.closed == 3
        agent.stop()
    assert updates.cloud.asked("shadow") == []

"""The agent as a process: how it starts, stops, logs and refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.cloud import Cloud
from tests.simulator.connection import BROKER_OPTIONS
from tests.support.agent import Agent
from tests.support.mosquitto import Mosquitto, requires_mosquitto
from tests.support.scripts import hang, ignore, write
from tests.support.waiting import runs, wait_until

SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("number", "console"),
    [(signal.SIGTERM, False), (signal.SIGINT, True)],
    ids=["twistd", "upparat"],
)
def test_stops_cleanly(
    number: signal.Signals, console: bool, updates: Updates, broker: Mosquitto
) -> None:
    device = updates.start(console=console)
    device.wait_for_log("Subscribed")
    os.kill(device.pid, number)
    assert device.wait_exit() == 0
    wait_until(lambda: "Received DISCONNECT from agent-1" in broker.log)


def test_stops_cleanly_without_a_broker(updates: Updates, broker: Mosquitto) -> None:
    broker.stop()
    device = updates.start()
    device.wait_for_log("Connection refused")
    assert device.stop() == 0


def test_an_update_without_twistd(updates: Updates) -> None:
    updates.start(console=True)
    assert updates.run()[-1] == SUCCEEDED[-1]


def test_stop_ends_the_hook(updates: Updates) -> None:
    updates.hooks.install([hang()])
    device = updates.start()
    updates.create()
    pid = updates.hooks.wait_for_call("install").pid
    assert device.stop() == 0
    assert not runs(pid)
    last = ("IN_PROGRESS", "installation_interrupt", "The agent was stopped")
    assert updates.cloud.history("job-1")[-1] == last


@pytest.mark.parametrize("console", [False, True], ids=["twistd", "upparat"])
def test_a_second_signal_changes_nothing(console: bool, updates: Updates) -> None:
    deaf = updates.hooks.directory / "deaf"
    updates.hooks.download([ignore(signal.SIGTERM), write(deaf, "now"), hang()])
    device = updates.start(console=console)
    updates.create()
    wait_until(deaf.exists)
    os.kill(device.pid, signal.SIGTERM)
    device.wait_for_log("Received SIGTERM")
    os.kill(device.pid, signal.SIGTERM)
    wait_until(lambda: device.log.count("Received SIGTERM") == 2)
    os.kill(updates.hooks.calls("download")[0].pid, signal.SIGKILL)
    assert device.wait_exit() == 0


def test_a_restart_hook_outlives_the_agent_that_it_stops(updates: Updates) -> None:
    """``systemctl restart`` waits for the new agent, and the hook may have more to do."""
    done = updates.hooks.directory / "done"
    updates.hooks.standard(restart=updates.hooks.kill_agent())
    updates.hooks.restart(
        [updates.hooks.become("2.0"), updates.hooks.kill_agent(), ["wait", str(done)]]
    )
    device = updates.start()
    updates.create()
    assert device.wait_exit() == 0
    pid = updates.hooks.calls("restart")[0].pid
    assert runs(pid)
    device.start()
    assert updates.end()[-1] == ("SUCCEEDED", "complete_ready", "none")
    done.touch()
    wait_until(lambda: not runs(pid))


def daemon(device: Agent) -> list[str]:
    return [word for word in device.command() if word != "--nodaemon"]


def test_daemonized(updates: Updates) -> None:
    device = updates.start()
    device.wait_for_log("Subscribed")
    device.stop()
    subprocess.run(daemon(device), cwd="/", check=True, timeout=30)
    wait_until(device.pidfile.exists)
    wait_until(lambda: device.pidfile.read_text().strip())
    pid = int(device.pidfile.read_text())
    try:
        updates.create()
        updates.cloud.wait_for_end("job-1")
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not runs(pid))
    assert not device.pidfile.exists()
    assert "job-1: SUCCEEDED complete_soft_restart" in device.log


def test_logs_by_level(updates: Updates) -> None:
    device = updates.start(service={"log_level": "WARNING"})
    updates.create()
    updates.cloud.wait_for_end("job-1")
    device.stop()
    assert re.search(r"#(debug|info)\]", device.log) is None


def test_one_line_for_each_state(updates: Updates) -> None:
    device = updates.start(service={"log_level": "INFO"})
    updates.create()
    updates.cloud.wait_for_end("job-1")
    device.stop()
    states = re.findall(r"job-1: (\w+) -> (\w+)", device.log)
    assert states == [
        ("verify_job", "download"),
        ("download", "install"),
        ("install", "restart"),
        ("restart", "verify_installation"),
        ("verify_installation", "cleanup"),
    ]


# --- configuration ---


def refused(config: Path, *command: str) -> list[str]:
    """The problems that a command tells of a file."""
    words = [word.format(config=config) for word in command]
    result = subprocess.run(
        [str(SCRIPTS / words[0]), *words[1:]],
        cwd=config.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2, result
    return [line.removeprefix("upparat: ") for line in result.stderr.splitlines()]


@pytest.mark.parametrize(
    "command",
    [
        ("upparat", "check", "-c", "{config}"),
        ("upparat", "-c", "{config}"),
        ("twistd", "-n", "upparat", "--config={config}"),
    ],
    ids=["check", "upparat", "twistd"],
)
def test_a_wrong_file_is_refused_with_all_its_problems(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    config = tmp_path / "upparat.conf"
    config.write_text(
        "[service]\nlog_level = LOUD\n[broker]\nport = 0\nhots = x\n[hooks]\ninstall = /nowhere\n"
    )
    problems = refused(config, *command)
    assert [problem.split(":")[0] for problem in problems] == [
        "[service] log_level",
        "[broker] port",
        "[hooks] install",
        "[broker] hots",
    ]
    assert sorted(tmp_path.iterdir()) == [config]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none", "upparat", "-c", "{config}") == [
        f"{tmp_path / 'none'}: No such file or directory"
    ]


def test_check_likes_a_good_file(tmp_path: Path) -> None:
    config = tmp_path / "upparat.conf"
    directories = f"download_location = {tmp_path}\nstate_dir = {tmp_path}/state\n"
    config.write_text(f"[service]\n{directories}[broker]\nthing_name = a\n")
    result = subprocess.run(
        [str(SCRIPTS / "upparat"), "check", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, f"{config}: no problem found\n")


@pytest.mark.mosquitto
@requires_mosquitto
def test_the_thing_of_the_command_line_goes_first(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, options=BROKER_OPTIONS) as broker, Cloud(broker.port, "x") as cloud:
        cloud.create_job("job-1", {"action": "upparat-update"})
        sections: dict[str, dict[str, object]] = {
            "service": {"download_location": tmp_path, "state_dir": tmp_path / "state"},
            "broker": {"port": broker.port, "thing_name": "device-1", "client_id": "agent-1"},
        }
        device = Agent(tmp_path / "agent", sections, console=True)
        command = device.command()
        device.command = lambda: [*command, "--thing-name", "x"]  # type: ignore[method-assign]
        with device:
            cloud.wait_for_end("job-1")
            assert cloud.history("job-1")[0][:2] == ("REJECTED", "invalid_job_document")

"""The processes of the local AWS: their start and their certain end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENCE, runs, wait_until
from upparat.local import agent, demo, ministack, screen
from upparat.local.aws import LocalAws
from upparat.local.device import Device

pytestmark = pytest.mark.long


def listeners(pid: int) -> set[str]:
    """The local addresses, as the kernel writes them, that a process listens on."""
    sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    lines = [*_table("/proc/net/tcp"), *_table("/proc/net/tcp6")]
    return {line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}


def _table(path: str) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text().splitlines()[1:]]


def test_it_listens_on_the_loopback_only(tmp_path: Path) -> None:
    with LocalAws(tmp_path) as aws:
        assert aws.ministack.pid is not None
        assert listeners(aws.ministack.pid) == {
            f"0100007F:{port:04X}" for port in (aws.ministack.port, aws.mqtt_port)
        }


def test_it_ends_with_the_block(tmp_path: Path) -> None:
    with LocalAws(tmp_path) as local:
        pid = local.ministack.pid
        assert pid is not None
        assert runs(pid)
    assert not runs(pid)
    assert {path.name for path in tmp_path.iterdir()} == {"ministack.log", "tmp"}


def test_it_ends_when_its_preparation_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(local: LocalAws) -> None:
        pids.append(local.ministack.pid)
        raise RuntimeError("no bucket")

    pids: list[Any] = []
    monkeypatch.setattr(LocalAws, "prepare", fail)
    with pytest.raises(RuntimeError, match="no bucket"), LocalAws(tmp_path):
        pass
    assert not runs(pids[0])


PARENT = """
import sys, time
from pathlib import Path
from upparat.local.ministack import MiniStack
stack = MiniStack(Path(sys.argv[1]))
stack.start()
print(stack.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_does_not_survive_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.send_signal(number)
        parent.wait(PATIENCE)
        wait_until(lambda: not runs(pid))


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_that_was_taken_meanwhile_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    free_ports = ministack._free_ports
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = list(free_ports())
        taken[which] = server.getsockname()[1]
        offers = [tuple(taken)]
        monkeypatch.setattr(
            ministack, "_free_ports", lambda: offers.pop() if offers else free_ports()
        )
        stack = ministack.MiniStack(tmp_path)
        stack.start()
        try:
            assert not offers
            assert server.getsockname()[1] not in (stack.port, stack.mqtt_port)
        finally:
            stack.stop()


def stand_in(monkeypatch: pytest.MonkeyPatch, module: Any, script: str) -> None:
    """Run a shell script instead of what a module would run."""
    monkeypatch.setattr(module, "dying_with_parent", lambda _: ["/bin/sh", "-c", script])


def test_an_installation_that_does_not_work_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, ministack, "echo no such module")
    stack = ministack.MiniStack(tmp_path)
    with pytest.raises(ministack.LocalAwsError, match="no such module"):
        stack.start()
    assert stack.pid is None
    assert not stack.running


def test_one_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, ministack, "exec sleep 1000")
    monkeypatch.setattr(ministack, "START_TIMEOUT", 0.0)
    stack = ministack.MiniStack(tmp_path)
    with pytest.raises(ministack.LocalAwsError):
        stack.start()
    assert demo.processes_below(tmp_path) == []


def test_an_interrupted_start_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(stack: ministack.MiniStack) -> bool:
        assert stack.running
        raise KeyboardInterrupt

    stand_in(monkeypatch, ministack, "exec sleep 1000")
    monkeypatch.setattr(ministack.MiniStack, "_wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ministack.MiniStack(tmp_path).start()
    assert demo.processes_below(tmp_path) == []


def test_one_that_ignores_sigterm_is_killed_with_its_group() -> None:
    script = "trap '' TERM; echo; while :; do sleep 1000; done"
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert ministack.end_group(process, timeout=0.01) == -signal.SIGKILL
        assert process.stdout.read() == b""  # the shell's child has let go of it as well


# --- the agent's supervisor ---


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device("thing", tmp_path)


def collect(supervisor: agent.Supervisor) -> None:
    assert supervisor._process is not None
    supervisor._process.wait(PATIENCE)


def test_a_running_agent_is_left_alone_and_stopped_at_the_end(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, agent, "exec sleep 1000")
    with agent.Supervisor(device) as supervisor:
        assert not supervisor.revive()
        assert supervisor.pid is not None
        assert runs(supervisor.pid)
    assert supervisor.pid is None
    assert supervisor.stop() == 0
    assert demo.processes_below(device.directory) == []


def test_an_agent_that_ended_well_is_started_again_without_its_pidfile(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, agent, "exit 0")
    with agent.Supervisor(device) as supervisor:
        device.pidfile.write_text("1")
        collect(supervisor)
        assert supervisor.revive()
        assert not device.pidfile.exists()
        assert supervisor.starts == 2


@pytest.mark.parametrize(("script", "most"), [("exit 2", 10), ("exit 0", 1)])
def test_an_agent_that_fails_or_ends_for_ever_is_not(
    device: Device, monkeypatch: pytest.MonkeyPatch, script: str, most: int
) -> None:
    stand_in(monkeypatch, agent, script)
    monkeypatch.setattr(agent, "MAX_STARTS", most)
    with agent.Supervisor(device) as supervisor:
        collect(supervisor)
        with pytest.raises(ministack.LocalAwsError, match=f"status {script[-1]}, start 1"):
            supervisor.revive()


def test_the_demonstration_notices_a_process_that_is_left(tmp_path: Path) -> None:
    run = demo.Demo(tmp_path, screen.Screen(sys.stdout), 1)
    run._check_nothing_runs()
    with subprocess.Popen(["/bin/sleep", "1000"], cwd=tmp_path) as process:
        with pytest.raises(ministack.LocalAwsError, match=str(process.pid)):
            run._check_nothing_runs()
        process.kill()

"""The control socket of the real agent: each phase of a job, rude clients, crashes, other users."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.e2e.updates import META, SUCCEEDED, Updates
from tests.simulator.cloud import Cloud
from tests.support.agent import Agent
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import hang, leave, wait_for_file
from tests.support.waiting import PATIENCE, wait_until
from upparat.control.client import AskingFailed, ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "control.schema.json").read_text(encoding="utf-8")
)
NOBODY = 65534

Status = dict[str, Any]


@pytest.fixture
def start(updates: Updates, path: Path) -> Callable[..., Agent]:
    """Start the agent with this socket."""

    def start(**sections: Any) -> Agent:
        control = {"socket": path, **sections.pop("control", {})}
        return updates.start(control=control, **sections)

    return start


def status(path: Path) -> Status:
    """The status of now, which fits the schema and holds no secret."""
    with ControlConnection(path, ControlRequest(RequestKind.STATUS)) as connection:
        message = next(connection.messages())
    check(message)
    return message


def check(message: Status) -> None:
    jsonschema.validate(message, {**SCHEMA, "oneOf": [{"$ref": "#/$defs/message"}]})
    text = json.dumps(message)
    assert META not in text
    assert "X-Amz" not in text


def wait_for(path: Path, condition: Callable[[Status], object]) -> Status:
    """Block until the status is as it should be, and return it."""
    found: list[Status] = []

    def holds() -> bool:
        try:
            found[:] = [status(path)]
        except AskingFailed:
            return False
        return bool(condition(found[0]))

    wait_until(holds)
    return found[0]


def waits(kind: str) -> Callable[[Status], bool]:
    return lambda status: kind in [wait["for"] for wait in status["waiting"]]


def runs_hook(name: str) -> Callable[[Status], bool]:
    return lambda status: status["hook"] is not None and status["hook"]["name"] == name


def busy(status: Status) -> bool:
    """Whether a server has answered that it is busy."""
    return any("503" in wait["why"] for wait in status["waiting"])


def has_received(count: int) -> Callable[[Status], bool]:
    return lambda status: status["download"] is not None and status["download"]["bytes"] == count


def verb(*words: object, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command ``upparat``; as another user, who may not even read the interpreter."""
    script = (
        "import locale, os, shutil, sys\n"
        "from upparat.commands import asking, status, log, check_now\n"
        "from upparat.commands import approve, bundle, defer, history, install, pause, resume\n"
        "from upparat.commands.main import main\n"
        "from upparat.policy import durations\n"
        "user = int(sys.argv[1])\n"
        "if user:\n    os.setgroups([])\n    os.setgid(user)\n    os.setuid(user)\n"
        "main(sys.argv[2:])"
    )
    command = [sys.executable, "-c", script, str(user or 0), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


class Follower:
    """Follows an agent in a thread, until the agent ends."""

    def __init__(self, path: Path) -> None:
        self.statuses: list[Status] = []
        self._connection = ControlConnection(path, ControlRequest(RequestKind.FOLLOW))
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            while True:
                self.statuses.append(self._connection.message(PATIENCE))
        except AskingFailed:
            return

    def wait_for(self, condition: Callable[[Status], object]) -> Status:
        """Block until a status has come that is as it should be, and return the first such."""
        wait_until(lambda: any(map(condition, self.statuses)))
        return next(filter(condition, self.statuses))

    def end(self) -> list[Status]:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.statuses


# --- phases ---------------------------------------------------------------------------------------


def test_each_phase(
    updates: Updates, start: Callable[..., Agent], path: Path, tmp_path: Path
) -> None:
    hooks, go_on = updates.hooks, {name: tmp_path / name for name in ("download", "ready")}
    hooks.download([wait_for_file(go_on["download"])])
    hooks.install([leave(3)], [])
    hooks.restart([])  # the version stays the old one
    hooks.ready([wait_for_file(go_on["ready"])])
    updates.file.stall(50_000)
    start(hooks={"retry_interval": 1, "restart_grace": 1, "restart_timeout": PATIENCE})
    found = wait_for(path, lambda status: status["state"] == "monitor")
    assert found["connection"]["connected"]
    assert (found["job"], found["history"], found["thing"]) == (None, [], "device-1")

    follower = Follower(path)
    updates.create()
    found = follower.wait_for(runs_hook("download"))
    assert found["state"] == "download"
    assert (found["job"]["id"], found["job"]["version"], found["job"]["force"]) == (
        "job-1",
        "2.0",
        False,
    )
    go_on["download"].touch()
    found = follower.wait_for(has_received(50_000))
    assert found["download"]["total"] == 100_000
    assert found["disk"]["used"] >= 50_000

    updates.file.release()
    found = follower.wait_for(waits("hook_retry"))
    assert (found["hook"]["name"], found["hook"]["run"]) == ("install", 2)
    [wait] = found["waiting"]
    assert wait["why"] == "the hook exited with 3"
    assert 0 <= wait["seconds"] <= 1
    follower.wait_for(waits("restart_grace"))
    [wait] = follower.wait_for(waits("restart_timeout"))["waiting"]
    assert wait["why"] == "the version is '1.0', not '2.0'"
    assert 0 < wait["limit_seconds"] <= PATIENCE

    hooks.version_file.write_text("2.0")
    follower.wait_for(runs_hook("ready"))
    go_on["ready"].touch()
    found = wait_for(path, lambda status: status["state"] == "monitor" and status["history"])
    assert found["job"] is None
    [past] = found["history"]
    assert (past["id"], past["version"], past["status"]) == ("job-1", "2.0", "SUCCEEDED")
    assert past["state"] == "complete_soft_restart"
    assert updates.end()[-1] == SUCCEEDED[-1]


def test_following_a_whole_job(
    updates: Updates, start: Callable[..., Agent], path: Path, tmp_path: Path
) -> None:
    gates = {name: tmp_path / name for name in ("download", "install", "ready")}
    for name, gate in gates.items():
        updates.hooks.set(name, [wait_for_file(gate)])
    device = start()
    wait_for(path, lambda status: status["state"] == "monitor")
    follower = Follower(path)
    wait_until(lambda: follower.statuses)
    updates.create()
    for name, gate in gates.items():
        follower.wait_for(runs_hook(name))
        gate.touch()
    wait_until(lambda: follower.statuses[-1]["history"])
    assert device.stop() == 0
    statuses = follower.end()
    for each in statuses:
        check(each)
    states = list(dict.fromkeys(each["state"] for each in statuses))
    wanted = ["monitor", "download", "install", "verify_installation"]
    assert [state for state in states if state in wanted] == wanted
    assert not path.exists()


def test_no_connection(
    updates: Updates, start: Callable[..., Agent], path: Path, broker: Mosquitto
) -> None:
    start()
    wait_for(path, lambda status: status["connection"]["connected"])
    broker.stop()
    found = wait_for(path, waits("connection"))
    assert not found["connection"]["connected"]
    assert found["connection"]["problem"]
    refused = verb("check-now", "--socket", path)
    assert (refused.returncode, refused.stderr) == (1, "upparat: the agent is not connected\n")


def test_a_back_off(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    updates.file.cut(50_000)
    updates.file.status(503, headers={"Retry-After": "2"})
    start()
    wait_for(path, lambda status: True)
    follower = Follower(path)
    updates.create()
    found = follower.wait_for(lambda status: waits("download")(status) and busy(status))
    assert has_received(50_000)(found)
    assert 0 < found["waiting"][0]["seconds"] <= 2
    assert updates.end()[-1] == SUCCEEDED[-1]


# --- verbs ----------------------------------------------------------------------------------------


def test_the_verbs(updates: Updates, start: Callable[..., Agent], cloud: Cloud, path: Path) -> None:
    device = start()
    updates.create()
    assert updates.end()[-1] == SUCCEEDED[-1]
    wait_for(path, lambda status: status["state"] == "monitor" and status["history"])
    table = verb("status", "-c", device.config_file)
    assert (table.returncode, table.stderr) == (0, "")
    assert "Last jobs" in table.stdout
    assert "job-1 2.0 SUCCEEDED complete_soft_restart" in table.stdout
    check(json.loads(verb("status", "--json", "--socket", path).stdout))
    asked = verb("check-now", "--socket", path)
    assert (asked.returncode, asked.stdout) == (0, "The agent asks AWS for jobs.\n")
    log = verb("log", "--socket", path)
    assert (log.returncode, log.stderr) == (0, "")
    assert "job-1: SUCCEEDED complete_soft_restart" in log.stdout
    assert verb("log", "job-1", "--socket", path).stdout == log.stdout
    unknown = verb("log", "job-2", "--socket", path)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "upparat: there is no log of job job-2\n"


# --- rude clients ---------------------------------------------------------------------------------


def connected(path: Path, sent: bytes = b"") -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))  # waits while the queue of the agent is full
    client.settimeout(PATIENCE)
    if sent:  # the agent may have sent this client away already
        client.sendall(sent)
    return client


def descriptors(device: Agent) -> int:
    """The number of files and sockets that the agent has open."""
    return len(os.listdir(f"/proc/{device.pid}/fd"))


def flood(path: Path) -> None:
    """Send a line without an end until the agent has had enough."""
    with connected(path) as client:
        try:
            while True:
                client.sendall(b"x" * 65536)
        except OSError:
            return


def test_rude_clients_while_a_job_runs(
    updates: Updates, start: Callable[..., Agent], path: Path, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    updates.hooks.install([wait_for_file(go_on)])
    device = start()
    updates.create()
    updates.hooks.wait_for_call("install")
    follow = b'{"protocol":1,"request":"follow"}\n'
    before = descriptors(device)
    rude = [connected(path, follow) for _ in range(4)]  # they never read
    rude += [connected(path, follow[:9]) for _ in range(4)]
    for _ in range(1000):
        connected(path).close()
    flood(path)
    crowd = [connected(path) for _ in range(40)]
    answers = [client.recv(4096) for client in crowd[20:]]
    assert all(b'"busy"' in answer for answer in answers)
    for client in crowd:
        client.close()
    assert wait_for(path, lambda status: True)["state"] == "install"
    wait_until(lambda: descriptors(device) <= before + len(rude))
    go_on.touch()
    assert updates.end()[-1] == SUCCEEDED[-1]
    for client in rude:
        client.close()


# --- the socket file ------------------------------------------------------------------------------


def test_a_hook_does_not_inherit_it(
    updates: Updates, start: Callable[..., Agent], path: Path
) -> None:
    updates.hooks.install([hang()])
    start()
    updates.create()
    pid = updates.hooks.wait_for_call("install").pid
    with connected(path, b'{"protocol":1,"request":"follow"}\n'):
        wait_for(path, lambda status: status["state"] == "install")
        files = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [file for file in files if file.startswith("socket:")]


def test_after_a_kill(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    device = start()
    assert updates.run()[-1] == SUCCEEDED[-1]
    wait_for(path, lambda status: status["history"])
    device.kill()
    assert path.is_socket()
    gone = verb("status", "--socket", path)
    assert (gone.returncode, gone.stdout) == (69, "")
    assert gone.stderr == f"upparat: no agent at {path}: Connection refused\n"
    device.start()
    found = wait_for(path, lambda status: status["state"] == "monitor")
    assert [past["id"] for past in found["history"]] == ["job-1"]
    assert device.stop() == 0
    assert not path.exists()


def test_a_second_agent_with_the_same_socket(
    updates: Updates, start: Callable[..., Agent], path: Path, tmp_path: Path
) -> None:
    first = start()
    pid = wait_for(path, lambda status: True)["agent"]["pid"]
    sections: dict[str, dict[str, object]] = {
        "service": {"state_dir": tmp_path / "state-2", "download_location": tmp_path / "files-2"},
        "broker": {"port": 1},
        "control": {"socket": path},
    }
    with Agent(tmp_path / "second", sections) as second:
        second.wait_for_log(f"The control socket is off: {path}: another process listens there")
    assert status(path)["agent"]["pid"] == pid == first.pid


def test_a_socket_that_cannot_be_made(updates: Updates, path: Path) -> None:
    path.parent.joinpath("file").touch()
    device = updates.start(control={"socket": path.parent / "file" / "control.sock"})
    assert updates.run()[-1] == SUCCEEDED[-1]
    assert device.log.count("The control socket is off: ") == 1


def test_who_may_ask(updates: Updates, start: Callable[..., Agent], path: Path) -> None:
    is_root = os.geteuid() == 0
    device = start(control={"mode": "0660"})
    wait_for(path, lambda status: True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    if not is_root:
        path.chmod(0)
    refused = verb("status", "--socket", path, user=NOBODY if is_root else None)
    assert (refused.returncode, refused.stdout) == (77, "")
    assert refused.stderr == f"upparat: {path}: this user may not ask the agent\n"
    device.stop()
    if is_root:
        group = grp.getgrgid(NOBODY).gr_name
        start(control={"group": group})
        wait_for(path, lambda status: True)
        assert verb("status", "--socket", path, user=NOBODY).returncode == 0

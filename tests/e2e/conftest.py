"""A device of its own for each test: a broker, a cloud, a file server, hooks and the real agent.

What must hold whatever a test does is checked when it is over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.updates import META, AgentFactory, Updates
from tests.simulator.broker_rules import broker_breaches
from tests.simulator.cloud import Cloud
from tests.simulator.connection import BROKER_OPTIONS
from tests.support.agent import Agent, kill_marked, marked
from tests.support.disks import Mount, mounting
from tests.support.files import File, FileServer
from tests.support.mosquitto import Mosquitto, requires_mosquitto
from tests.support.scripts import Hooks
from tests.support.sweep import SWEEP
from tests.support.waiting import wait_until
from tests.support.world import CLIENT_ID, THING, device_config

collect_ignore = [] if SWEEP else ["test_torture.py", "test_torture_delta.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)
            if "broker" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.mosquitto)
                item.add_marker(requires_mosquitto)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, options=BROKER_OPTIONS) as broker:
        yield broker
    assert broker_breaches(broker.log, CLIENT_ID, THING) == []


@pytest.fixture
def path() -> Iterator[Path]:
    """A socket in a directory that every user can enter, and whose path is short."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory, "control.sock")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Makes disks; they are gone after the test."""
    with mounting(tmp_path) as mount:
        yield mount


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def firmware(files: FileServer) -> File:
    """A file of 100 KB to install."""
    return files.add("/firmware-2.0.bin", bytes(range(250)) * 400)


@pytest.fixture
def cloud(broker: Mosquitto) -> Iterator[Cloud]:
    with Cloud(broker.port, THING) as cloud:
        yield cloud
    assert cloud.breaches == []
    assert cloud.errors == []
    assert cloud.unused == []


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    """The hooks of a device on which an update to 2.0 by a soft restart works."""
    return Hooks(tmp_path / "hooks", tmp_path / "agent" / "agent.pid").standard()


@pytest.fixture
def updates(agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File) -> Updates:
    """All that an update needs, in one hand."""
    return Updates(agent, cloud, hooks, firmware)


@pytest.fixture
def agent(tmp_path: Path, broker: Mosquitto, cloud: Cloud, hooks: Hooks) -> Iterator[AgentFactory]:
    agents: list[Agent] = []

    def start(
        *,
        supervised: bool = False,
        reboots: bool = False,
        console: bool = False,
        **sections: Mapping[str, object],
    ) -> Agent:
        directory = tmp_path / "agent"
        config = device_config(directory, broker, hooks, sections)
        agents.append(
            Agent(
                directory,
                config,
                supervised=supervised,
                reboots=reboots,
                console=console,
            )
        )
        return agents[-1].start()

    yield start
    for each in agents:
        _check(each, cloud)


def _check(agent: Agent, cloud: Cloud) -> None:
    """Stop the agent, and look for what it must not leave behind."""
    status = agent.stop() if agent.alive else 0
    try:
        print(agent.log)
        assert status == 0
        assert "X-Amz" not in agent.log, "the query of a URL is a secret"
        assert META not in agent.log
        for log in agent.directory.rglob("state/logs/*.log"):
            text = log.read_text(errors="replace")
            assert "X-Amz" not in text
            assert META not in text
        if not agent.tolerates_tracebacks:
            assert "Traceback" not in agent.log
            assert "Unhandled" not in agent.log
        wait_until(lambda: not marked(agent.directory))
        if all(execution.status.ended for execution in cloud.store.executions):
            assert list(agent.directory.rglob("*.part")) == []
    finally:
        kill_marked(agent.directory)

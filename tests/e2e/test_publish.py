"""From ``upparat publish`` to devices that have installed the file, or say why not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import Agent, kill_marked
from tests.support.localworld import local_device
from tests.support.openssl import make_keys
from tests.support.publishing import PublishCommand
from tests.support.scripts import Hooks, complain, leave
from upparat.local.aws import LocalAws

pytestmark = pytest.mark.long

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws")) as local:
        yield local


class Fleet:
    """Devices of one thing group, whose agents run."""

    def __init__(self, aws: LocalAws, directory: Path) -> None:
        self._aws = aws
        self._directory = directory
        self.group = f"fleet-{next(_numbers)}"
        self.agents: list[Agent] = []
        aws.iot.create_thing_group(thingGroupName=self.group)

    def add(self, name: str, **verify: object) -> Hooks:
        thing = f"{self.group}-{name}"
        agent, hooks = local_device(self._aws, self._directory / name, thing)
        self._aws.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=self.group)
        agent.configure({**agent.sections, "verify": verify})
        self.agents.append(agent.start())
        return hooks


@pytest.fixture
def fleet(aws: LocalAws, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(aws, tmp_path)
    try:
        yield fleet
        for agent in fleet.agents:
            assert agent.stop() == 0
            assert "Traceback" not in agent.log
    finally:
        for agent in fleet.agents:
            print(agent.log)
            agent.kill()
            kill_marked(agent.directory)


@pytest.fixture
def publish(aws: LocalAws, tmp_path: Path) -> PublishCommand:
    return PublishCommand(aws.endpoint, tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "image.bin"
    file.write_bytes(os.urandom(300_000))
    return file


def test_a_signed_release_to_its_success(
    fleet: Fleet, publish: PublishCommand, file: Path, tmp_path: Path
) -> None:
    keys = make_keys(tmp_path, "p256")
    hooks = fleet.add("a", require="signature", public_keys=keys.public, product="board-A")
    words = ["--sign", str(keys.private), "--product", "board-A", "--meta", "slot B", "--watch"]
    made, *_, watched = publish.json(file, "--thing", f"{fleet.group}-a", *words)
    assert made["uploaded_bytes"] == 300_000
    assert (watched["status"], watched["executions"]) == ("COMPLETED", {"SUCCEEDED": 1})
    assert hooks.installed_file.read_bytes() == file.read_bytes()
    assert {call.meta for call in hooks.calls("install")} == {"slot B"}


def test_a_device_that_fails_says_why(fleet: Fleet, publish: PublishCommand, file: Path) -> None:
    good, bad = fleet.add("good"), fleet.add("bad")
    bad.install([complain("no room on /dev/sda2"), leave(7)])
    ran = publish.run(file, "--group", fleet.group, "--watch", "--job-id", fleet.group)
    assert ran.returncode == 3, ran.stderr
    lines = ran.stdout.splitlines()
    assert f"{fleet.group}: COMPLETED, 1 SUCCEEDED, 1 FAILED" in lines
    reason = "installation_hook_failed: Exit code: 7 | no room on /dev/sda2"
    assert f"  {fleet.group}-bad FAILED: {reason}" in lines
    assert good.installed_file.read_bytes() == file.read_bytes()


def test_a_signature_of_another_key(
    fleet: Fleet, publish: PublishCommand, file: Path, tmp_path: Path
) -> None:
    ours, other = make_keys(tmp_path, "p256", "ours"), make_keys(tmp_path, "p256", "other")
    hooks = fleet.add("a", require="signature", public_keys=ours.public)
    ran = publish.run(file, "--thing", f"{fleet.group}-a", "--sign", str(other.private), "--watch")
    assert ran.returncode == 3
    assert " FAILED: verification_failed: " in ran.stdout
    assert hooks.calls("install") == []


def test_a_job_that_is_cancelled_meanwhile(
    aws: LocalAws, fleet: Fleet, publish: PublishCommand, file: Path
) -> None:
    aws.iot.create_thing(thingName=f"{fleet.group}-away")
    words = ["--thing", f"{fleet.group}-away", "--watch", "--job-id", fleet.group]
    with publish.start(file, *words) as watching:
        assert watching.stdout is not None
        for line in watching.stdout:
            if "1 QUEUED" in line:
                aws.cancel(fleet.group)
        assert watching.wait() == 4
        assert f"{fleet.group}: CANCELED, 1 CANCELED" in line

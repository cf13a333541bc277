"""The main job on a local AWS that is not of our making: mTLS, IoT Jobs and S3 as they come."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.updates import ALL_CALLS, SUCCEEDED
from tests.simulator.inspector import Inspector
from tests.support.agent import Agent, kill_marked, marked
from tests.support.bridge import PASSWORD, USER, bridge_config
from tests.support.files import FileServer
from tests.support.mosquitto import MOSQUITTO, requires_mosquitto
from tests.support.scripts import Hooks, complain, leave, say
from tests.support.tcpports import free_port
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import FAST
from upparat import __version__
from upparat.job import Status
from upparat.local import policies
from upparat.local.aws import LocalAws
from upparat.local.device import Device
from upparat.local.ministack import end_group
from upparat.local.watch import Update, Watcher

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
CONTENT = bytes(range(256)) * 4000

BEGUN = SUCCEEDED[:3]
SUBSCRIBED = "Subscribed to the jobs of"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws")) as local:
        yield local


@pytest.fixture
def device(aws: LocalAws, tmp_path: Path) -> Device:
    return aws.create_device(tmp_path / "device", f"thing-{next(_numbers)}")


@pytest.fixture
def hooks(device: Device, tmp_path: Path) -> Hooks:
    return Hooks(tmp_path / "hooks", device.pidfile).standard()


class Reports:
    """What the device has sent of its jobs, without the progress of downloads."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._updates: list[Update] = []

    def of(self, job_id: str) -> list[tuple[str, str, str]]:
        self._updates += self._watcher.updates()
        return [
            (update.status, update.state, update.message)
            for update in self._updates
            if update.job_id == job_id and update.state != "download_progress"
        ]

    def to_the_end(self, job_id: str) -> list[tuple[str, str, str]]:
        """Wait for the last one: it may come to us later than to AWS."""
        wait_until(lambda: any(Status(status).ended for status, _, _ in self.of(job_id)))
        return self.of(job_id)


@pytest.fixture
def reports(aws: LocalAws, device: Device) -> Iterator[Reports]:
    with Watcher(aws.mqtt_port, device.cafile, device.thing_name) as watcher:
        yield Reports(watcher)


@pytest.fixture(autouse=True)
def judge(aws: LocalAws, device: Device) -> Iterator[None]:
    """AWS's own model judges every request of these tests, too."""
    with Inspector(aws.mqtt_port, device.cafile, device.thing_name) as judge:
        yield
    assert judge.breaches == []
    assert judge.requests > 0


@contextlib.contextmanager
def running(
    device: Device, hooks: Hooks, broker: Mapping[str, object], *, supervised: bool = False
) -> Iterator[Agent]:
    """The agent, which has to end well and to leave nothing behind."""
    directory = device.directory
    sections: dict[str, dict[str, object]] = {
        "service": {
            **FAST["service"],
            "download_location": directory / "downloads",
            "state_dir": directory / "state",
        },
        "broker": {"host": "127.0.0.1", "thing_name": device.thing_name, **broker},
        "hooks": {**FAST["hooks"], **hooks.options},
        "download": {"allow_http": "yes"},
    }
    agent = Agent(directory, sections, supervised=supervised).start()
    try:
        agent.wait_for_log(SUBSCRIBED)
        yield agent
        assert agent.stop() == 0
        assert "Traceback" not in agent.log
        assert list(directory.rglob("*.part")) == []
        wait_until(lambda: not marked(directory))
    finally:
        print(agent.log)
        agent.kill()
        kill_marked(directory)


def mutual_tls(aws: LocalAws, device: Device) -> dict[str, object]:
    """The broker's section of the agent's configuration."""
    return {
        "port": aws.mqtt_port,
        "client_id": device.thing_name,
        "cafile": device.cafile,
        "certfile": device.certfile,
        "keyfile": device.keyfile,
    }


@pytest.fixture
def agent(aws: LocalAws, device: Device, hooks: Hooks) -> Iterator[Agent]:
    with running(device, hooks, mutual_tls(aws, device)) as agent:
        yield agent


def document(file: str, **more: object) -> dict[str, object]:
    return {"action": "upparat-update", "version": "2.0", "file": file, **more}


# --- directly, over mTLS ---


@pytest.mark.usefixtures("agent")
def test_a_soft_restart(aws: LocalAws, device: Device, hooks: Hooks, reports: Reports) -> None:
    """The file comes from S3, by the URL that AWS has signed in place of the placeholder."""
    file = aws.upload("firmware 2.0.bin", CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    job = document(file, sha256=digest, size=len(CONTENT), meta={"slot": "B"})
    aws.create_job("soft", job, [device.thing_name])
    ended = aws.wait("soft", device.thing_name)
    assert ended.details == {
        "state": "complete_soft_restart",
        "message": "none",
        "agent": __version__,
        "from": "1.0",
        "to": "2.0",
    }
    assert reports.to_the_end("soft") == SUCCEEDED
    assert hooks.names() == ALL_CALLS
    assert {call.meta for call in hooks.calls()} == {'{"slot": "B"}'}
    assert hooks.installed_file.read_bytes() == CONTENT


@pytest.mark.usefixtures("agent")
def test_why_a_hook_has_failed(aws: LocalAws, device: Device, hooks: Hooks) -> None:
    hooks.install([complain("tar: \x1b[1mshort\x1b[0m read", "no room on /dev/sda2"), leave(7)])
    aws.create_job("why", document(aws.upload("why.bin", CONTENT)), [device.thing_name])
    ended = aws.wait("why", device.thing_name)
    assert int(ended.details["seconds"]) >= 0
    assert {**ended.details, "seconds": ""} == {
        "state": "installation_hook_failed",
        "message": "Exit code: 7",
        "hook": "install",
        "exit_code": "7",
        "runs": "1",
        "seconds": "",
        "stderr": "tar: short read | no room on /dev/sda2",
        "agent": __version__,
        "from": "1.0",
        "to": "2.0",
    }


@pytest.mark.long
def test_a_reboot(aws: LocalAws, device: Device, hooks: Hooks, reports: Reports) -> None:
    hooks.standard(restart=hooks.kill_agent())
    with running(device, hooks, mutual_tls(aws, device), supervised=True) as agent:
        job = document(aws.upload("reboot.bin", CONTENT))
        aws.create_job("reboot", job, [device.thing_name])
        assert aws.wait("reboot", device.thing_name).status is Status.SUCCEEDED
        assert agent.starts == 2
    assert reports.to_the_end("reboot") == [*BEGUN, ("SUCCEEDED", "complete_ready", "none")]
    assert hooks.names() == ALL_CALLS


@pytest.mark.long
@pytest.mark.usefixtures("agent")
def test_a_version_that_runs_already(aws: LocalAws, device: Device, hooks: Hooks) -> None:
    job = document(aws.upload("old.bin", CONTENT), version="1.0")
    aws.create_job("old", job, [device.thing_name])
    ended = aws.wait("old", device.thing_name)
    assert ended.state == "version_already_installed"
    assert (ended.details["from"], ended.details["to"]) == ("1.0", "1.0")
    assert hooks.names() == ["version"]


@pytest.mark.long
@pytest.mark.usefixtures("agent")
def test_a_file_that_is_not_in_s3(
    aws: LocalAws, device: Device, hooks: Hooks, reports: Reports
) -> None:
    aws.create_job("gone", document(aws.placeholder("no-such-file")), [device.thing_name])
    ended = aws.wait("gone", device.thing_name)
    assert (ended.status, ended.state) == (Status.FAILED, "download_failed")
    assert ended.details["message"].startswith("HTTP 404 NoSuchKey")
    assert reports.to_the_end("gone")[:-1] == BEGUN[:1]
    assert "install" not in hooks.names()


@pytest.mark.long
@pytest.mark.usefixtures("agent")
def test_a_document_that_can_never_work(
    aws: LocalAws, device: Device, hooks: Hooks, reports: Reports
) -> None:
    """It is rejected, and the next job runs."""
    aws.create_job("bad", {"action": "upparat-update", "version": 2}, [device.thing_name])
    aws.create_job("good", document(aws.upload("good.bin", CONTENT)), [device.thing_name])
    assert aws.wait("bad", device.thing_name).status is Status.REJECTED
    aws.wait("good", device.thing_name)
    message = "version: must be a string, not a number; file: is missing"
    assert reports.to_the_end("bad") == [("REJECTED", "invalid_job_document", message)]
    assert reports.to_the_end("good") == SUCCEEDED
    assert hooks.names() == ALL_CALLS


@pytest.mark.long
@pytest.mark.usefixtures("agent")
def test_a_foreign_job(aws: LocalAws, device: Device, reports: Reports) -> None:
    """It stays at the head of the queue as it is, and hides nothing."""
    aws.create_job("foreign", {"action": "reboot"}, [device.thing_name])
    aws.create_job("ours", document(aws.upload("ours.bin", CONTENT)), [device.thing_name])
    aws.wait("ours", device.thing_name)
    assert reports.to_the_end("ours") == SUCCEEDED
    assert reports.of("foreign") == []
    foreign = aws.execution("foreign", device.thing_name)
    assert foreign is not None
    assert (foreign.status, foreign.version_number) == (Status.QUEUED, 1)


def test_cancelled_in_mid_download(
    aws: LocalAws,
    device: Device,
    hooks: Hooks,
    reports: Reports,
    agent: Agent,
    files: FileServer,
) -> None:
    """S3 does not stall on demand: the file is somewhere else."""
    firmware = files.add("/firmware.bin", CONTENT)
    firmware.stall(len(CONTENT) // 2)
    aws.create_job("cancelled", document(firmware.url), [device.thing_name])
    assert firmware.stalled.wait(PATIENCE)
    aws.wait("cancelled", device.thing_name, lambda execution: bool(execution.state))
    aws.cancel("cancelled", force=True)
    agent.wait_for_log("ended by others")
    aws.create_job("next", document(aws.upload("next.bin", b"next")), [device.thing_name])
    aws.wait("next", device.thing_name)
    assert aws.wait("cancelled", device.thing_name).status is Status.CANCELED
    assert reports.to_the_end("next") == SUCCEEDED
    assert reports.of("cancelled") == BEGUN[:1]
    assert hooks.installed_file.read_bytes() == b"next"
    assert hooks.names().count("install") == 1


@pytest.mark.long
def test_a_job_that_was_created_while_the_agent_was_away(
    aws: LocalAws, device: Device, hooks: Hooks, reports: Reports
) -> None:
    aws.create_job("early", document(aws.upload("early.bin", CONTENT)), [device.thing_name])
    with running(device, hooks, mutual_tls(aws, device)):
        aws.wait("early", device.thing_name)
    assert reports.to_the_end("early") == SUCCEEDED


def test_the_log_of_a_failed_job_is_in_s3(
    aws: LocalAws, device: Device, hooks: Hooks, agent: Agent
) -> None:
    """By a URL that is signed for PUT, as AWS puts it in place of the placeholder for uploads."""
    hooks.install([say("erasing"), complain("bad block"), leave(1)])
    place = {"Bucket": policies.BUCKET, "Key": f"logs/{device.thing_name}/failing/1.txt"}
    url = aws.s3.generate_presigned_url("put_object", Params=place, ExpiresIn=3600)
    job = document(aws.upload("failing.bin", CONTENT), log_url=url)
    aws.create_job("failing", job, [device.thing_name])
    ended = aws.wait("failing", device.thing_name)
    assert (ended.status, ended.state) == (Status.FAILED, "installation_hook_failed")
    stored = aws.s3.get_object(**place)
    text = stored["Body"].read().decode()
    assert stored["ContentType"] == "text/plain; charset=utf-8"
    assert "[install#stdout] erasing\n" in text
    assert "[install#stderr] bad block\n" in text
    assert "failing: FAILED installation_hook_failed: Exit code: 1\n" in text
    assert not re.search(r"X-Amz|Signature=", text + agent.log)


@pytest.mark.long
def test_stopped_in_mid_download(
    aws: LocalAws, device: Device, hooks: Hooks, reports: Reports, agent: Agent, files: FileServer
) -> None:
    """AWS learns why nothing moves, and the agent continues where it was."""
    firmware = files.add("/firmware.bin", CONTENT)
    firmware.stall(half := len(CONTENT) // 2)
    aws.create_job("stopped", document(firmware.url), [device.thing_name])
    found = device.directory.rglob
    wait_until(lambda: [part.stat().st_size for part in found("*.part")] == [half])
    aws.wait("stopped", device.thing_name, lambda execution: bool(execution.state))
    assert agent.stop() == 0
    interrupted = ("IN_PROGRESS", "download_interrupt", "The agent was stopped")
    wait_until(lambda: reports.of("stopped") == [BEGUN[0], interrupted])
    agent.start()
    aws.wait("stopped", device.thing_name)
    assert reports.to_the_end("stopped") == [BEGUN[0], interrupted, *SUCCEEDED]
    assert [request.range for request in firmware.requests] == [None, f"bytes={half}-"]
    assert hooks.installed_file.read_bytes() == CONTENT


# --- through a bridge ---


@pytest.fixture
def bridge(aws: LocalAws, device: Device, tmp_path: Path) -> Iterator[int]:
    """The port of a mosquitto that is set up as the example says."""
    port = free_port()
    config = bridge_config(tmp_path, port, device, aws.mqtt_port)
    with (tmp_path / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(config)], stderr=log, start_new_session=True
        )
    yield port
    end_group(process)


@requires_mosquitto
@pytest.mark.mosquitto
def test_an_update_through_a_bridge(
    aws: LocalAws, device: Device, hooks: Hooks, reports: Reports, bridge: int
) -> None:
    with running(
        device,
        hooks,
        {"port": bridge, "client_id": "upparat", "username": USER, "password": PASSWORD},
    ):
        job = document(aws.upload("bridged.bin", CONTENT))
        aws.create_job("bridged", job, [device.thing_name])
        aws.wait("bridged", device.thing_name)
    assert reports.to_the_end("bridged") == SUCCEEDED
    assert hooks.names() == ALL_CALLS
    assert hooks.installed_file.read_bytes() == CONTENT

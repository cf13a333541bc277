"""The file flows into the install hook: what the hook sees of it, and what it must never see."""

from __future__ import annotations

import base64
import random
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.agent import Agent
from tests.support.cloud import Cloud
from tests.support.files import File, FileServer
from tests.support.minisign import make_minisign_keys
from tests.support.openssl import make_keys
from tests.support.scripts import (
    Hooks,
    Step,
    deafen,
    hang,
    leave,
    pause,
    say,
    swallow,
    wait_for_file,
)
from tests.support.waiting import wait_until
from upparat.adapters.download_stream import HELD_BACK
from upparat.signatures import statement

SIZE = 3_000_000
STREAM = {"install_stream": "yes", "retry_interval": 0.1}


@pytest.fixture
def firmware(files: FileServer) -> File:
    return files.add("/firmware-2.0.bin", random.Random(1).randbytes(SIZE))


@pytest.fixture
def slot(hooks: Hooks) -> Path:
    return hooks.installed_file


@pytest.fixture
def flash(hooks: Hooks, slot: Path) -> Step:
    """What a good hook does: it reads to the end."""
    hooks.install([swallow(slot)])
    return swallow(slot)


@pytest.fixture
def sure(document: Documents) -> Documents:
    """Documents that tell the file from any other."""

    def make(file: File, **more: object) -> dict[str, object]:
        return document(file, **{"sha256": file.sha256, **more})

    return make


def files_of(device: Agent) -> list[Path]:
    return [path for path in (device.directory / "downloads").rglob("*") if path.is_file()]


def progress_of_slot(slot: Path) -> int:
    return slot.stat().st_size if slot.exists() else 0


def in_the_middle(firmware: File, cloud: Cloud, slot: Path, document: dict[str, object]) -> None:
    """A job whose file stays in the middle of its way."""
    firmware.stall(SIZE // 2)
    cloud.create_job("job-1", document)
    assert firmware.stalled.wait(30)
    wait_until(lambda: progress_of_slot(slot) > 0)


def refused(cloud: Cloud, state: str, message: str) -> None:
    end = cloud.wait_for_end("job-1")
    assert (end.state, end.message) == (state, message)


# --- all is well ---


def test_the_main_job(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    sure: Documents,
    slot: Path,
) -> None:
    hooks.install([say("writing"), swallow(slot), say("switched")])
    device = agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware))
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    history = steps(cloud.history("job-1"))
    assert [step for step in history if step[1] != "installation_progress"] == [
        ("IN_PROGRESS", "download_start", "none"),
        ("IN_PROGRESS", "installation_start", "none"),
        ("IN_PROGRESS", "reboot_start", "none"),
        ("SUCCEEDED", "complete_soft_restart", "none"),
    ]
    assert slot.read_bytes() == firmware.content
    [call] = hooks.calls("install")
    assert (call.argv[3], call.env["UPPARAT_FILE"]) == ("-", "-")
    assert hooks.ends() == 1
    assert len(firmware.requests) == 1
    assert files_of(device) == []


@pytest.mark.usefixtures("flash")
def test_a_signed_file(
    agent: AgentFactory,
    cloud: Cloud,
    firmware: File,
    document: Documents,
    slot: Path,
    tmp_path: Path,
) -> None:
    keys = make_keys(tmp_path, "p256")
    message = tmp_path / "message"
    message.write_bytes(statement("2.0", firmware.sha256))
    signature = base64.b64encode(keys.sign(message, "ecdsa-p256-sha256")).decode()
    agent(hooks=STREAM, verify={"require": "signature", "public_keys": keys.public})
    cloud.create_job("job-1", document(firmware, signature=signature))
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert slot.read_bytes() == firmware.content


@pytest.mark.usefixtures("flash")
def test_a_file_that_minisign_has_signed(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
    slot: Path,
    tmp_path: Path,
) -> None:
    """Over the file alone: the legacy format needs all of it, the other one its digest."""
    keys = make_minisign_keys(tmp_path)
    copy = tmp_path / "copy"
    copy.write_bytes(firmware.content)
    verify = {"require": "signature", "public_keys": keys.public, "bind_version": "no"}
    agent(hooks=STREAM, verify=verify)
    cloud.create_job("job-1", document(firmware, signature=keys.sign(copy, "legacy")))
    whole = "signature: Ed25519 over the file alone needs a file that is stored"
    refused(cloud, "verification_failed", whole)
    assert hooks.ends() == 0
    cloud.create_job("job-2", document(firmware, signature=keys.sign(copy)))
    assert cloud.wait_for_end("job-2").state == "complete_soft_restart"
    assert slot.read_bytes() == firmware.content


@pytest.mark.usefixtures("flash")
def test_cut_connections_go_unnoticed(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    """The stream stands still, and goes on where it was."""
    firmware.cut(1_000_000)
    firmware.cut(1_000_000, reset=True)
    agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware))
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert len(hooks.calls("install")) == 1
    assert slot.read_bytes() == firmware.content
    assert [request.range is None for request in firmware.requests] == [True, False, False]
    assert {request.if_match for request in firmware.requests[1:]} == {firmware.etag}


@pytest.mark.usefixtures("flash")
def test_a_fresh_url_in_the_middle(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    firmware.cut(1_000_000)
    firmware.expire()
    agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware))
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert len(hooks.calls("install")) == 1
    assert slot.read_bytes() == firmware.content
    queries = [request.query for request in firmware.requests]
    assert queries[1] == queries[0]
    assert queries[2] != queries[0]


def test_a_slow_reader_slows_the_server_down(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, files: FileServer, sure: Documents, slot: Path
) -> None:
    large = files.add("/large.bin", bytes(64_000_000))
    go_on = hooks.directory / "go-on"
    hooks.install([wait_for_file(go_on), swallow(slot)])
    agent(hooks=STREAM)
    cloud.create_job("job-1", sure(large))
    seen = deque([0], maxlen=100)

    def stands_still() -> bool:
        seen.append(large.sent)
        return len(seen) == seen.maxlen and 0 < seen[0] == large.sent

    wait_until(stands_still)
    assert large.sent < 32_000_000
    go_on.touch()
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert slot.read_bytes() == large.content


# --- the whole file anew ---


def test_a_server_that_cannot_go_on(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    """The hook is killed, and runs again for the whole file."""
    firmware.ranges = False
    firmware.cut(1_000_000)
    first = hooks.directory / "first"
    hooks.install([swallow(first)], [swallow(slot)])
    agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware))
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert [call.retry for call in hooks.calls("install")] == [0, 1]
    assert hooks.ends() == 1
    assert slot.read_bytes() == firmware.content
    assert first.read_bytes() == firmware.content[: first.stat().st_size]


def test_a_hook_that_asks_for_another_try(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    hooks.install([swallow(hooks.directory / "first", 1000), leave(3)], [swallow(slot)])
    agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware))
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert [call.retry for call in hooks.calls("install")] == [0, 1]
    assert slot.read_bytes() == firmware.content


# --- what is not verified never ends ---


@pytest.mark.usefixtures("flash")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sha256": "0" * 64}, "sha256: expected {zeros}, got {sha256}"),
        ({"sha256": None, "sha512": "0" * 128}, "sha512: expected {more}, got {sha512}"),
    ],
)
def test_another_file(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    sure: Documents,
    slot: Path,
    more: dict[str, Any],
    message: str,
) -> None:
    device = agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware, **more))
    end = cloud.wait_for_end("job-1")
    assert end.state == "verification_failed"
    assert end.message.startswith(message.partition(":")[0])
    assert hooks.ends() == 0
    assert [call.code for call in hooks.calls("install")] == [None], "it was killed"
    assert progress_of_slot(slot) <= SIZE - HELD_BACK
    assert len(firmware.requests) == 1
    assert "restart" not in hooks.names()
    assert files_of(device) == []


@pytest.mark.usefixtures("flash")
def test_a_file_that_nothing_tells_from_others(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    agent(hooks=STREAM)
    cloud.create_job("job-1", document(firmware))
    needs = "[hooks] install_stream needs sha256, sha512 or a signature in the job document"
    refused(cloud, "verification_failed", needs)
    assert "install" not in hooks.names()
    assert firmware.requests == []


@pytest.mark.usefixtures("flash")
def test_a_file_that_is_gone(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents
) -> None:
    firmware.cut(1_000_000)
    firmware.status(404)
    agent(hooks=STREAM)
    cloud.create_job("job-1", sure(firmware))
    refused(cloud, "download_failed", "HTTP 404 Not Found")
    assert hooks.ends() == 0
    assert [call.code for call in hooks.calls("install")] == [None]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([leave(0)], "ended before the file was verified"),
        ([leave(7)], "Exit code: 7"),
        ([deafen(), hang()], "stopped reading before the file was verified"),
        ([hang()], "Timed out after 1s and was ended"),
    ],
)
def test_hooks_that_do_not_read(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    sure: Documents,
    plan: list[Step],
    message: str,
    slot: Path,
) -> None:
    hooks.install([swallow(slot, 1000), *plan])
    agent(hooks={**STREAM, "timeout_install": 1})
    cloud.create_job("job-1", sure(firmware))
    refused(cloud, "installation_hook_failed", message)
    assert "restart" not in hooks.names()


@pytest.mark.usefixtures("flash")
def test_the_agent_is_killed(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    """Its death closes the pipe, but for the guard."""
    first = hooks.directory / "first"
    hooks.install([swallow(first), pause(0.1)], [swallow(slot)])
    device = agent(hooks=STREAM)
    in_the_middle(firmware, cloud, first, sure(firmware))
    device.kill()
    device.start()
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert [call.code for call in hooks.calls("install")] == [None, 0]
    assert hooks.ends() == 1
    assert slot.read_bytes() == firmware.content


@pytest.mark.usefixtures("flash")
def test_the_agent_is_stopped(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    first = hooks.directory / "first"
    hooks.install([swallow(first)], [swallow(slot)])
    device = agent(hooks=STREAM)
    in_the_middle(firmware, cloud, first, sure(firmware))
    device.stop()
    assert hooks.ends() == 0
    assert cloud.history("job-1")[-1][1] == "installation_interrupt"
    device.start()
    assert cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert slot.read_bytes() == firmware.content


@pytest.mark.usefixtures("flash")
def test_the_job_is_cancelled(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, sure: Documents, slot: Path
) -> None:
    """What is not complete is not delicate: the hook is killed, and the next job runs."""
    device = agent(hooks=STREAM)
    in_the_middle(firmware, cloud, slot, sure(firmware))
    cloud.cancel("job-1", force=True)
    device.wait_for_log("ended by others")
    slot.unlink()
    cloud.create_job("job-2", sure(firmware))
    assert cloud.wait_for_end("job-2").state == "complete_soft_restart"
    assert hooks.ends() == 1
    assert slot.read_bytes() == firmware.content

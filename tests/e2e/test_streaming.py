"""The file flows into the install hook: what the hook sees of it, and what it must never see."""

from __future__ import annotations

import base64
import random
from collections import deque
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.cloud import Cloud
from tests.support.agent import Agent
from tests.support.files import File, FileServer
from tests.support.minisign import make_minisign_keys
from tests.support.openssl import make_keys
from tests.support.scripts import (
    Hooks,
    Step,
    deafen,
    fork,
    hang,
    leave,
    pause,
    say,
    swallow,
    wait_for_file,
)
from tests.support.waiting import PATIENCE, wait_until
from upparat.download.streamed import HELD_BACK
from upparat.signing.signatures import statement

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
def sure(updates: Updates) -> None:
    """All documents tell the file from any other."""
    updates.members["sha256"] = updates.file.sha256


def files_of(device: Agent) -> list[Path]:
    return [path for path in (device.directory / "downloads").rglob("*") if path.is_file()]


def progress_of_slot(slot: Path) -> int:
    return slot.stat().st_size if slot.exists() else 0


def in_the_middle(updates: Updates, slot: Path) -> None:
    """A job whose file stays in the middle of its way."""
    updates.file.stall(SIZE // 2)
    updates.create()
    assert updates.file.stalled.wait(PATIENCE)
    wait_until(lambda: progress_of_slot(slot) > 0)


def refused(cloud: Cloud, state: str, message: str) -> None:
    end = cloud.wait_for_end("job-1")
    assert (end.state, end.message) == (state, message)


# --- all is well ---


@pytest.mark.usefixtures("sure")
def test_the_main_job(updates: Updates, slot: Path) -> None:
    updates.hooks.install([say("writing"), swallow(slot), say("switched")])
    device = updates.start(hooks=STREAM)
    updates.create()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    history = updates.history()
    assert [step for step in history if step[1] != "installation_progress"] == SUCCEEDED
    assert slot.read_bytes() == updates.file.content
    [call] = updates.hooks.calls("install")
    assert (call.argv[3], call.env["UPPARAT_FILE"]) == ("-", "-")
    assert updates.hooks.ends() == 1
    assert len(updates.file.requests) == 1
    assert files_of(device) == []


@pytest.mark.usefixtures("flash")
def test_a_signed_file(updates: Updates, slot: Path, tmp_path: Path) -> None:
    keys = make_keys(tmp_path, "p256")
    message = tmp_path / "message"
    message.write_bytes(statement("2.0", updates.file.sha256))
    signature = base64.b64encode(keys.sign(message, "ecdsa-p256-sha256")).decode()
    updates.start(hooks=STREAM, verify={"require": "signature", "public_keys": keys.public})
    updates.create(signature=signature)
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert slot.read_bytes() == updates.file.content


@pytest.mark.usefixtures("flash")
def test_a_file_that_minisign_has_signed(updates: Updates, slot: Path, tmp_path: Path) -> None:
    """Over the file alone: the legacy format needs all of it, the other one its digest."""
    keys = make_minisign_keys(tmp_path)
    copy = tmp_path / "copy"
    copy.write_bytes(updates.file.content)
    verify = {"require": "signature", "public_keys": keys.public, "bind_version": "no"}
    updates.start(hooks=STREAM, verify=verify)
    updates.create(signature=keys.sign(copy, "legacy"))
    whole = "signature: Ed25519 over the file alone needs a file that is stored"
    refused(updates.cloud, "verification_failed", whole)
    assert updates.hooks.ends() == 0
    updates.create("job-2", signature=keys.sign(copy))
    assert updates.cloud.wait_for_end("job-2").state == "complete_soft_restart"
    assert slot.read_bytes() == updates.file.content


@pytest.mark.usefixtures("flash", "sure")
def test_cut_connections_go_unnoticed(updates: Updates, slot: Path) -> None:
    """The stream stands still, and goes on where it was."""
    updates.file.cut(1_000_000)
    updates.file.cut(1_000_000, reset=True)
    updates.start(hooks=STREAM)
    updates.create()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert len(updates.hooks.calls("install")) == 1
    assert slot.read_bytes() == updates.file.content
    assert [request.range is None for request in updates.file.requests] == [True, False, False]
    assert {request.if_match for request in updates.file.requests[1:]} == {updates.file.etag}


@pytest.mark.usefixtures("flash", "sure")
def test_a_fresh_url_in_the_middle(updates: Updates, slot: Path) -> None:
    updates.file.cut(1_000_000)
    updates.file.expire()
    updates.start(hooks=STREAM)
    updates.create()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert len(updates.hooks.calls("install")) == 1
    assert slot.read_bytes() == updates.file.content
    queries = [request.query for request in updates.file.requests]
    assert queries[1] == queries[0]
    assert queries[2] != queries[0]


@pytest.mark.usefixtures("sure")
def test_a_slow_reader_slows_the_server_down(
    updates: Updates, files: FileServer, slot: Path
) -> None:
    large = updates.file = files.add("/large.bin", bytes(64_000_000))
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on), swallow(slot)])
    updates.start(hooks=STREAM)
    updates.create(sha256=large.sha256)
    seen = deque([0], maxlen=100)

    def stands_still() -> bool:
        seen.append(large.sent)
        return len(seen) == seen.maxlen and 0 < seen[0] == large.sent

    wait_until(stands_still)
    assert large.sent < 32_000_000
    go_on.touch()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert slot.read_bytes() == large.content


# --- the whole file anew ---


@pytest.mark.usefixtures("sure")
def test_a_server_that_cannot_go_on(updates: Updates, slot: Path) -> None:
    """The hook is killed, and runs again for the whole file."""
    updates.file.ranges = False
    updates.file.cut(1_000_000)
    first = updates.hooks.directory / "first"
    updates.hooks.install([swallow(first)], [swallow(slot)])
    updates.start(hooks=STREAM)
    updates.create()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert [call.retry for call in updates.hooks.calls("install")] == [0, 1]
    assert updates.hooks.ends() == 1
    assert slot.read_bytes() == updates.file.content
    assert first.read_bytes() == updates.file.content[: first.stat().st_size]


@pytest.mark.usefixtures("sure")
def test_a_hook_that_asks_for_another_try(updates: Updates, slot: Path) -> None:
    updates.hooks.install(
        [swallow(updates.hooks.directory / "first", 1000), leave(3)], [swallow(slot)]
    )
    updates.start(hooks=STREAM)
    updates.create()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert [call.retry for call in updates.hooks.calls("install")] == [0, 1]
    assert slot.read_bytes() == updates.file.content


# --- what is not verified never ends ---


@pytest.mark.usefixtures("flash", "sure")
def test_another_file(updates: Updates, slot: Path) -> None:
    device = updates.start(hooks=STREAM)
    updates.create(sha256="0" * 64)
    message = f"sha256: expected {'0' * 64}, got {updates.file.sha256}"
    refused(updates.cloud, "verification_failed", message)
    assert updates.hooks.ends() == 0
    assert [call.code for call in updates.hooks.calls("install")] == [None], "it was killed"
    assert progress_of_slot(slot) <= SIZE - HELD_BACK
    assert len(updates.file.requests) == 1
    assert "restart" not in updates.hooks.names()
    assert files_of(device) == []


@pytest.mark.usefixtures("flash")
def test_a_file_that_nothing_tells_from_others(updates: Updates) -> None:
    updates.start(hooks=STREAM)
    updates.create()
    needs = "[hooks] install_stream needs sha256, sha512 or a signature in the job document"
    refused(updates.cloud, "verification_failed", needs)
    assert "install" not in updates.hooks.names()
    assert updates.file.requests == []


@pytest.mark.usefixtures("flash", "sure")
def test_a_file_that_is_gone(updates: Updates) -> None:
    updates.file.stall(1_000_000)
    updates.file.status(404)
    updates.start(hooks=STREAM)
    updates.create()
    updates.hooks.wait_for_call("install")
    updates.file.disconnect()
    refused(updates.cloud, "download_failed", "HTTP 404 Not Found")
    assert updates.hooks.ends() == 0
    assert [call.code for call in updates.hooks.calls("install")] == [None]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([leave(0)], "ended before the file was verified"),
        ([deafen(), hang()], "stopped reading before the file was verified"),
        ([hang()], "Timed out after 1s and was ended"),
    ],
)
@pytest.mark.usefixtures("sure")
def test_hooks_that_do_not_read(
    updates: Updates, plan: list[Step], message: str, slot: Path
) -> None:
    updates.hooks.install([swallow(slot, 1000), *plan])
    updates.start(hooks={**STREAM, "timeout_install": 1})
    updates.create()
    refused(updates.cloud, "installation_hook_failed", message)
    assert "restart" not in updates.hooks.names()


@pytest.mark.usefixtures("sure")
def test_a_helper_that_holds_stdin_and_does_not_read(updates: Updates) -> None:
    """It is in a session of its own, so that nothing reaches it; it keeps nobody from going on."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([fork(wait_for_file(go_on), session=True), pause(0.5), leave(7)])
    device = updates.start(hooks=STREAM)
    updates.create()
    refused(updates.cloud, "installation_hook_failed", "Exit code: 7")
    assert device.stop() == 0
    go_on.touch()


@pytest.mark.usefixtures("flash", "sure")
def test_the_agent_is_killed(updates: Updates, slot: Path) -> None:
    """Its death closes the pipe, but for the guard."""
    first = updates.hooks.directory / "first"
    updates.hooks.install([swallow(first), pause(0.1)], [swallow(slot)])
    device = updates.start(hooks=STREAM)
    in_the_middle(updates, first)
    device.kill()
    device.start()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert [call.code for call in updates.hooks.calls("install")] == [None, 0]
    assert updates.hooks.ends() == 1
    assert slot.read_bytes() == updates.file.content


@pytest.mark.usefixtures("flash", "sure")
def test_the_agent_is_stopped(updates: Updates, slot: Path) -> None:
    first = updates.hooks.directory / "first"
    updates.hooks.install([swallow(first)], [swallow(slot)])
    device = updates.start(hooks=STREAM)
    in_the_middle(updates, first)
    device.stop()
    assert updates.hooks.ends() == 0
    assert updates.cloud.history("job-1")[-1][1] == "installation_interrupt"
    device.start()
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert slot.read_bytes() == updates.file.content


@pytest.mark.usefixtures("flash", "sure")
def test_the_job_is_cancelled(updates: Updates, slot: Path) -> None:
    """What is not complete is not delicate: the hook is killed, and the next job runs."""
    device = updates.start(hooks=STREAM)
    in_the_middle(updates, slot)
    updates.cloud.cancel("job-1", force=True)
    device.wait_for_log("ended by others")
    slot.unlink()
    updates.create("job-2")
    assert updates.cloud.wait_for_end("job-2").state == "complete_soft_restart"
    assert updates.hooks.ends() == 1
    assert slot.read_bytes() == updates.file.content

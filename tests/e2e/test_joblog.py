"""The log of a job on the device, and its upload to a real server."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import (
    STARTED,
    SUCCEEDED,
    Updates,
    nothing_secret_is_logged,
)
from tests.support.agent import Agent
from tests.support.files import File, FileServer
from tests.support.scripts import complain, leave, say
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import signed

HOOK_FAILED = ("FAILED", "installation_hook_failed", "Exit code: 1")
PATIENT = {"log_upload_timeout": PATIENCE}
"""A test that holds the upload looks at the device meanwhile, however long that takes."""


@pytest.fixture(autouse=True)
def _no_secrets(tmp_path: Path) -> Iterator[None]:
    with nothing_secret_is_logged(tmp_path / "agent"):
        yield
    logs = list((tmp_path / "agent").rglob("state/logs/*.log"))
    assert logs
    assert [log for log in logs if "secret" in log.read_text()] == []


@pytest.fixture
def log(files: FileServer) -> File:
    """The place that logs are uploaded to."""
    return files.add("/logs/device-1/job-1/1.txt", b"")


def job_log(device: Agent, job_id: str = "job-1") -> str:
    """The log on the device, while it is in one file."""
    [file] = (device.directory / "state" / "logs").glob(f"*.{job_id}.*.log")
    return file.read_text()


def pending(device: Agent) -> list[Path]:
    return list((device.directory / "state" / "logs").glob("*.upload"))


def fail(updates: Updates) -> None:
    """Let the install hook print something, and fail."""
    updates.hooks.install([say("erasing"), complain("bad block"), leave(1)])


def uploaded(log: File) -> str:
    """The last upload."""
    request = log.requests[-1]
    assert request.method == "PUT"
    assert request.headers["content-type"] == "text/plain; charset=utf-8"
    assert request.headers["content-length"] == str(len(request.body))
    assert "X-Amz-Signature=secret-" in request.query
    return request.body.decode()


# --- on the device ---


def test_the_log_of_a_job(updates: Updates) -> None:
    fail(updates)
    device = updates.start(service={"log_level": "WARNING"})
    assert updates.run()[-1] == HOOK_FAILED
    wait_until(lambda: "reported installation_hook_failed" in job_log(device))
    lines = [line.partition(" ")[2] for line in job_log(device).splitlines()]
    assert lines[0].endswith(" for device-1: job job-1, execution 1")
    for line in (
        "[upparat.machine#info] job-1: version '1.0' is to become '2.0'",
        "[upparat.service.UpparatService#info] job-1: download -> install",
        "[install#stdout] erasing",
        "[install#stderr] bad block",
        "[upparat.iotjobs.client.JobsClient#info] job-1: reported installation_start",
        "[upparat.hooks.runner.HookRunner#warn] job-1: install hook: Exit code: 1",
        "[upparat.machine#info] job-1: FAILED installation_hook_failed: Exit code: 1",
    ):
        assert lines.count(line) == 1, (line, lines)
    [file] = (device.directory / "state" / "logs").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_goes_on_behind_a_restart(updates: Updates) -> None:
    updates.hooks.standard(restart=updates.hooks.kill_agent())
    device = updates.start(supervised=True, reboots=True)
    assert updates.run()[-1] == ("SUCCEEDED", "complete_ready", "none")
    wait_until(lambda: "reported complete_ready" in job_log(device))
    text = job_log(device)
    assert text.count(" for device-1: job job-1") == 1
    parts = ["running the restart hook", "UpparatService#info] Upparat ", "the ready hook"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_the_last_executions_are_kept(updates: Updates) -> None:
    updates.hooks.version([say("2.0")])
    device = updates.start()
    for number in range(7):
        assert updates.run(f"job-{number}")[-1][1] == "version_already_installed"
    wait_until(lambda: "reported version_already" in job_log(device, "job-6"))
    names = sorted(path.name for path in (device.directory / "state" / "logs").iterdir())
    assert [name.split(".")[1] for name in names] == [f"job-{number}" for number in range(2, 7)]


def test_a_flood_is_bounded(updates: Updates, log: File) -> None:
    """On flash, on the way, and at the server."""
    updates.hooks.install([say("first"), say(*(["x" * 300] * 3_000)), say("last")])
    device = updates.start(service={"log_upload": "always"})
    assert updates.run(log_url=signed(log))[-1] == SUCCEEDED[-1]
    text = uploaded(log)
    assert text.index("[install#stdout] first") < text.index(" bytes are gone ")
    assert text.index(" bytes are gone ") < text.index("[install#stdout] last")
    files = list((device.directory / "state" / "logs").iterdir())
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) <= 256 * 1024


def test_a_place_that_cannot_be_written_to(updates: Updates, tmp_path: Path) -> None:
    place = tmp_path / "agent" / "state" / "logs"
    place.parent.mkdir(parents=True, mode=0o700)
    place.write_text("in the way")
    device = updates.start()
    assert updates.run() == SUCCEEDED
    assert device.log.count("its log cannot be written") == 1
    place.unlink()
    assert updates.run("job-2")[-1][1] == "version_already_installed"


# --- the upload ---


def test_uploaded_before_the_end_is_reported(updates: Updates, log: File) -> None:
    fail(updates)
    log.stall()
    device = updates.start(service=PATIENT)
    updates.create(log_url=signed(log))
    assert log.stalled.wait(PATIENCE)
    assert updates.history()[-1][0] == "IN_PROGRESS"
    assert "FAILED installation_hook_failed" in uploaded(log)
    [file] = pending(device)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    log.release()
    assert updates.end()[-1] == HOOK_FAILED


def test_an_upload(updates: Updates, log: File) -> None:
    fail(updates)
    device = updates.start()
    assert updates.run(log_url=signed(log))[-1] == HOOK_FAILED
    assert len(log.requests) == 1
    text = uploaded(log)
    assert "[install#stdout] erasing\n" in text
    assert "[install#stderr] bad block\n" in text
    assert job_log(device).startswith(text)
    assert pending(device) == []
    assert "job-1: the log is uploaded" in device.log


def test_a_rejected_document(updates: Updates, log: File) -> None:
    updates.start()
    assert updates.run(log_url=signed(log), version=" ")[-1][:2] == (
        "REJECTED",
        "invalid_job_document",
    )
    assert "REJECTED invalid_job_document: version: is empty" in uploaded(log)


@pytest.mark.parametrize(("policy", "count"), [("always", 1), ("failed", 0), ("never", 0)])
def test_a_success(policy: str, count: int, updates: Updates, log: File) -> None:
    updates.start(service={"log_upload": policy})
    assert updates.run(log_url=signed(log)) == SUCCEEDED
    assert len(log.requests) == count


@pytest.mark.parametrize("url", ["${aws:iot:s3-presigned-url-upload:secret}", 7, "ftp://secret"])
def test_a_wrong_url_changes_nothing(url: object, updates: Updates) -> None:
    device = updates.start(service={"log_upload": "always"})
    assert updates.run(log_url=url) == SUCCEEDED
    assert "job-1: the log is not uploaded: log_url: " in device.log


def test_ended_by_others(updates: Updates, log: File) -> None:
    """Nobody would learn otherwise why it took so long that it was cancelled."""
    updates.hooks.install([say("erasing"), leave(3)])
    device = updates.start(hooks={"retry_interval": 600})
    updates.create(log_url=signed(log))
    device.wait_for_log("install hook: again in")
    reached = ("IN_PROGRESS", "installation_progress")
    updates.cloud.wait_for(lambda: updates.history()[-1][:2] == reached)
    updates.cloud.cancel("job-1", force=True)
    device.wait_for_log("job-1: the log is uploaded")
    text = uploaded(log)
    assert "[install#stdout] erasing\n" in text
    assert "ended by others" in text
    assert updates.history()[-1][:2] == reached


def test_a_refused_url(updates: Updates, log: File) -> None:
    fail(updates)
    log.expire()
    device = updates.start()
    assert updates.run(log_url=signed(log))[-1] == HOOK_FAILED
    device.wait_for_log("the log is not uploaded: HTTP 403; it is given up")
    assert len(log.requests) == 1
    assert pending(device) == []


def test_a_server_that_hangs(updates: Updates, log: File) -> None:
    """The end is reported all the same, and the agent stops."""
    fail(updates)
    log.stall()
    device = updates.start(service={"log_upload_timeout": 0.2})
    assert updates.run(log_url=signed(log))[-1] == HOOK_FAILED
    assert len(pending(device)) == 1
    assert device.stop() == 0
    assert len(pending(device)) == 1


def test_stopped_in_mid_upload(updates: Updates, log: File) -> None:
    """The end is reported before the agent goes, and the next one uploads the log."""
    fail(updates)
    log.stall()
    device = updates.start(service=PATIENT)
    updates.create(log_url=signed(log))
    assert log.stalled.wait(PATIENCE)
    assert device.stop() == 0
    assert updates.history()[-1] == HOOK_FAILED
    log.release()
    device.start()
    wait_until(lambda: pending(device) == [])
    assert "FAILED installation_hook_failed" in uploaded(log)
    assert len(log.requests) == 2


def test_killed_between_the_end_and_the_upload(updates: Updates, log: File) -> None:
    """The end is in the record, and neither was reported nor uploaded."""
    fail(updates)
    log.stall()
    device = updates.start(service=PATIENT)
    updates.create(log_url=signed(log))
    assert log.stalled.wait(PATIENCE)
    device.kill()
    log.release()
    device.start()
    assert updates.end()[-1] == HOOK_FAILED
    first, second = log.requests
    assert second.body.startswith(first.body)
    assert first.query != second.query
    wait_until(lambda: pending(device) == [])


def test_killed_between_the_report_and_the_upload(updates: Updates, log: File) -> None:
    """The URL was kept: AWS gives no other one after the end."""
    fail(updates)
    log.status(503)
    device = updates.start()
    assert updates.run(log_url=signed(log))[-1] == HOOK_FAILED
    wait_until(lambda: "job-1: reported installation_hook_failed" in job_log(device))
    device.kill()
    assert len(pending(device)) == 1
    device.start()
    wait_until(lambda: pending(device) == [])
    first, second = log.requests
    assert first.query == second.query
    assert second.body.startswith(first.body)
    assert b"reported installation_hook_failed" in second.body
    assert STARTED in updates.history()

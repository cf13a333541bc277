"""Which jobs are ours, in which order, and what becomes of those that make no sense."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.cloud import Cloud
from tests.support.files import File
from tests.support.scripts import Hooks
from upparat.job import Status

SUCCEEDED = [
    ("IN_PROGRESS", "download_start", "none"),
    ("IN_PROGRESS", "installation_start", "none"),
    ("IN_PROGRESS", "reboot_start", "none"),
    ("SUCCEEDED", "complete_soft_restart", "none"),
]
MULTIPLE = "Invalid: More than one job is IN PROGRESS: job-1, job-2"


@pytest.mark.parametrize(
    "foreign",
    [{"action": "reboot"}, {}, "a text", ["a", "list"], {"action": ["upparat-update"]}],
    ids=["another action", "empty", "text", "list", "no text"],
)
def test_a_foreign_job_at_the_head_of_the_queue(
    foreign: object,
    agent: AgentFactory,
    cloud: Cloud,
    firmware: File,
    document: Documents,
) -> None:
    cloud.create_job("foreign", foreign)
    agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == SUCCEEDED
    assert cloud.asked("update", "foreign") == []
    assert cloud.execution("foreign").status is Status.QUEUED


def test_a_foreign_job_in_progress(
    agent: AgentFactory, cloud: Cloud, firmware: File, document: Documents
) -> None:
    cloud.create_job("foreign", {"action": "reboot"})
    cloud.report("foreign", "IN_PROGRESS", step="one")
    cloud.create_job("job-1", document(firmware))
    agent()
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == SUCCEEDED
    assert cloud.asked("update", "foreign") == []


def test_a_job_without_our_prefix(
    agent: AgentFactory, cloud: Cloud, firmware: File, document: Documents
) -> None:
    agent(service={"job_id_prefix": "upparat_"})
    cloud.create_job("job-1", document(firmware))
    cloud.create_job("upparat_2", document(firmware))
    cloud.wait_for_end("upparat_2")
    assert cloud.execution("job-1").status is Status.QUEUED
    assert cloud.asked("update", "job-1") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": None}, "file: is missing"),
        ({"version": None}, "version: is missing"),
        ({"version": 2}, "version: must be a string"),
        ({"file": "${aws:iot:s3-presigned-url:https://x}"}, "file: "),
        ({"force": "yes"}, "force: "),
        ({"sha256": "12"}, "sha256: "),
        ({"size": -1}, "size: "),
    ],
    ids=lambda value: str(value),
)
def test_a_document_that_can_never_work(
    change: dict[str, object],
    message: str,
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """It is rejected with the wrong key's name, and the next job runs."""
    cloud.create_job("bad", {**document(firmware), **change})
    cloud.create_job("job-1", document(firmware))
    agent()
    cloud.wait_for_end("job-1")
    [(status, state, told)] = cloud.history("bad")
    assert (status, state) == ("REJECTED", "invalid_job_document")
    assert told.startswith(message)
    assert steps(cloud.history("job-1")) == SUCCEEDED
    assert hooks.names().count("install") == 1


def test_two_queued_jobs(
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    files: object,
    firmware: File,
    document: Documents,
) -> None:
    """Oldest first, one at a time."""
    cloud.create_job("job-1", document(firmware))
    cloud.create_job("job-2", document(firmware, version="3.0"))
    hooks.restart([hooks.become("2.0")], [hooks.become("3.0")])
    agent()
    cloud.wait_for_end("job-2")
    assert steps(cloud.history("job-1")) == SUCCEEDED
    assert steps(cloud.history("job-2")) == SUCCEEDED
    assert [update.job_id for update in cloud.store.updates] == sorted(
        update.job_id for update in cloud.store.updates
    )


def test_two_in_progress_without_a_record(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    for job_id in ("job-1", "job-2"):
        cloud.create_job(job_id, document(firmware))
        cloud.report(job_id, "IN_PROGRESS", state="download_start")
    agent()
    for job_id in ("job-1", "job-2"):
        cloud.wait_for_end(job_id)
        assert cloud.history(job_id)[-1] == ("FAILED", "error_multiple_in_progress", MULTIPLE)
    assert hooks.names() == []


def test_two_in_progress_and_a_record_of_one(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """The device goes on with the one that it was busy with."""
    firmware.stall(50_000)
    device = agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_state("job-1", "download_start")
    assert firmware.stalled.wait(30)
    device.kill()
    firmware.release()
    cloud.create_job("job-2", document(firmware))
    cloud.report("job-2", "IN_PROGRESS", state="download_start")
    device.start()
    cloud.wait_for_end("job-1")
    cloud.wait_for_end("job-2")
    assert cloud.history("job-2")[-1] == ("FAILED", "error_multiple_in_progress", MULTIPLE)
    assert cloud.history("job-1")[-1] == ("SUCCEEDED", "complete_soft_restart", "none")
    assert hooks.names().count("install") == 1


def test_in_progress_before_queued(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """What an earlier life has begun is finished first; its download starts again."""
    cloud.create_job("job-1", document(firmware))
    cloud.create_job("job-2", document(firmware))
    cloud.report("job-2", "IN_PROGRESS", state="installation_start")
    agent()
    cloud.wait_for_end("job-1")
    assert [state for _, state, _ in steps(cloud.history("job-2"))] == [
        "installation_start",
        "download_start",
        "installation_start",
        "reboot_start",
        "complete_soft_restart",
    ]
    assert cloud.history("job-1") == [("SUCCEEDED", "version_already_installed", "none")]


def test_a_list_that_still_shows_an_ended_job(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """AWS's list is behind its updates for a moment; the job must not run again."""
    from tests.support.faults import stale

    cloud.on("get", stale(), where=lambda _: bool(cloud.store.updates))
    agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    cloud.create_job("job-2", document(firmware))
    cloud.wait_for_end("job-2")
    assert hooks.names().count("install") == 1

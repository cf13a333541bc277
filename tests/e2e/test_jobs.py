"""Which jobs are ours, in which order, and what becomes of those that make no sense."""

from __future__ import annotations

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.store import LISTED
from tests.support.scripts import leave
from upparat.job import Status

MULTIPLE = "Invalid: More than one job is IN PROGRESS: job-1, job-2"


@pytest.mark.parametrize("foreign", [{"action": "reboot"}, "a text"], ids=["object", "text"])
def test_a_foreign_job_at_the_head_of_the_queue(foreign: object, updates: Updates) -> None:
    updates.cloud.create_job("foreign", foreign)
    assert updates.run() == SUCCEEDED
    assert updates.cloud.asked("update", "foreign") == []
    assert updates.cloud.execution("foreign").status is Status.QUEUED


def test_a_foreign_job_in_progress(updates: Updates) -> None:
    updates.cloud.create_job("foreign", {"action": "reboot"})
    updates.cloud.report("foreign", "IN_PROGRESS", step="one")
    updates.create()
    updates.start()
    assert updates.end() == SUCCEEDED
    assert updates.cloud.asked("update", "foreign") == []


def test_a_list_that_is_full_of_foreign_jobs(updates: Updates) -> None:
    """AWS has no second page for devices: ours is found once one of the others has ended."""
    names = [f"foreign-{number}" for number in range(LISTED)]
    for name in names:
        updates.cloud.create_job(name, {"action": "reboot"})
    updates.create()
    device = updates.start()
    device.wait_for_log(f"AWS lists {LISTED} jobs or more, none of which is for this agent")
    assert updates.cloud.execution("job-1").status is Status.QUEUED
    updates.cloud.report(names[3], "SUCCEEDED")
    assert updates.end() == SUCCEEDED


def test_a_refused_version_stays_in_doubt_when_another_one_fails(updates: Updates) -> None:
    """The ready hook has refused 2.0, and nothing has changed since."""
    updates.hooks.install([], [leave(7)])
    updates.hooks.ready([leave(1)], [])
    assert updates.run()[-1][:2] == ("FAILED", "ready_hook_failed")
    assert updates.run("job-2", version="3.0")[-1][:2] == ("FAILED", "installation_hook_failed")
    assert updates.run("job-3")[-1][:2] == ("SUCCEEDED", "complete_ready")
    assert updates.names("job-3") == ["version", "version", "ready"]


def test_a_job_without_our_prefix(updates: Updates) -> None:
    updates.start(service={"job_id_prefix": "upparat_"})
    updates.create()
    updates.create("upparat_2")
    updates.cloud.wait_for_end("upparat_2")
    assert updates.cloud.execution("job-1").status is Status.QUEUED
    assert updates.cloud.asked("update", "job-1") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": None}, "file: is missing"),
        ({"file": "${aws:iot:s3-presigned-url:https://x}"}, "file: "),
    ],
    ids=lambda value: str(value),
)
def test_a_document_that_can_never_work(
    change: dict[str, object], message: str, updates: Updates
) -> None:
    """It is rejected with the wrong key's name, and the next job runs."""
    updates.create("bad", **change)
    updates.create()
    updates.start()
    updates.cloud.wait_for_end("job-1")
    [(status, state, told)] = updates.cloud.history("bad")
    assert (status, state) == ("REJECTED", "invalid_job_document")
    assert told.startswith(message)
    assert updates.history() == SUCCEEDED
    assert updates.hooks.names().count("install") == 1


def test_two_queued_jobs(updates: Updates) -> None:
    """Oldest first, one at a time."""
    updates.create()
    updates.create("job-2", version="3.0")
    updates.hooks.restart([updates.hooks.become("2.0")], [updates.hooks.become("3.0")])
    updates.start()
    updates.cloud.wait_for_end("job-2")
    assert updates.history() == SUCCEEDED
    assert updates.history("job-2") == SUCCEEDED
    assert [update.job_id for update in updates.cloud.store.updates] == sorted(
        update.job_id for update in updates.cloud.store.updates
    )


def test_two_in_progress_without_a_record(updates: Updates) -> None:
    for job_id in ("job-1", "job-2"):
        updates.create(job_id)
        updates.cloud.report(job_id, "IN_PROGRESS", state="download_start")
    updates.start()
    for job_id in ("job-1", "job-2"):
        updates.cloud.wait_for_end(job_id)
        assert updates.cloud.history(job_id)[-1] == (
            "FAILED",
            "error_multiple_in_progress",
            MULTIPLE,
        )
    assert updates.hooks.names() == []


def test_two_in_progress_and_a_record_of_one(updates: Updates) -> None:
    """The device goes on with the one that it was busy with."""
    device = updates.stand_still()
    device.kill()
    updates.file.release()
    updates.create("job-2")
    updates.cloud.report("job-2", "IN_PROGRESS", state="download_start")
    device.start()
    updates.cloud.wait_for_end("job-1")
    updates.cloud.wait_for_end("job-2")
    assert updates.cloud.history("job-2")[-1] == ("FAILED", "error_multiple_in_progress", MULTIPLE)
    assert updates.cloud.history("job-1")[-1] == SUCCEEDED[-1]
    assert updates.hooks.names().count("install") == 1


def test_in_progress_before_queued(updates: Updates) -> None:
    """What an earlier life has begun is finished first; its download starts again."""
    updates.create()
    updates.create("job-2")
    updates.cloud.report("job-2", "IN_PROGRESS", state="installation_start")
    updates.start()
    updates.cloud.wait_for_end("job-1")
    assert [state for _, state, _ in updates.history("job-2")] == [
        "installation_start",
        "download_start",
        "installation_start",
        "reboot_start",
        "complete_soft_restart",
    ]
    assert updates.cloud.history("job-1") == [("SUCCEEDED", "version_already_installed", "none")]


def test_a_list_that_still_shows_an_ended_job(updates: Updates) -> None:
    """AWS's list is behind its updates for a moment; the job must not run again."""
    from tests.simulator.faults import stale

    updates.cloud.on("get", stale(), where=lambda _: bool(updates.cloud.store.updates))
    updates.start()
    updates.create()
    updates.cloud.wait_for_end("job-1")
    updates.create("job-2")
    updates.cloud.wait_for_end("job-2")
    assert updates.hooks.names().count("install") == 1

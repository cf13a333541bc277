"""AWS's step timer, with the real agent."""

from __future__ import annotations

from tests.e2e.updates import SUCCEEDED, Updates
from upparat.job import Status


def steps(updates: Updates) -> list[object]:
    """The minutes of each update."""
    return [each.body.get("stepTimeoutInMinutes") for each in updates.cloud.asked("update")]


def test_every_report_of_progress_sets_the_timer(updates: Updates) -> None:
    updates.start(service={"step_timeout": "auto", "progress_interval": 60})
    assert updates.run() == SUCCEEDED
    *progress, end = steps(updates)
    assert end is None
    assert all(isinstance(minutes, int) and 60 < minutes <= 10_080 for minutes in progress)


def test_by_default_no_report_sets_a_timer(updates: Updates) -> None:
    assert updates.run() == SUCCEEDED
    assert set(steps(updates)) == {None}


def test_the_job_of_a_dead_device_times_out_and_is_not_begun_again(updates: Updates) -> None:
    device = updates.start(service={"step_timeout": "auto"})
    updates.stand_still()
    minutes = steps(updates)[-1]
    assert isinstance(minutes, int)
    device.kill()
    updates.cloud.advance(minutes - 1)
    assert updates.cloud.execution("job-1").status is Status.IN_PROGRESS
    updates.cloud.advance(1.1)
    assert updates.cloud.execution("job-1").status is Status.TIMED_OUT
    updates.file.release()
    device.start()
    device.wait_for_log("it has ended meanwhile")
    assert updates.run("job-2") == SUCCEEDED
    assert updates.names("job-1") == ["version", "download"]


def test_the_next_agent_renews_the_timer(updates: Updates) -> None:
    device = updates.start(service={"step_timeout": "auto"})
    updates.stand_still()
    device.kill()
    before = len(steps(updates))
    updates.cloud.advance(60)
    updates.file.release()
    device.start()
    assert updates.end()[-1] == SUCCEEDED[-1]
    assert isinstance(steps(updates)[before], int)

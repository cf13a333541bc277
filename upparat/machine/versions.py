"""What the versions of the device and of a job allow."""

from __future__ import annotations

from upparat.job import Downgrades, Job, Status
from upparat.ports import Installation, Stage

from .model import Core


def maybe_installed(job: Job) -> bool:
    """Whether a version that runs already ends the job: not once the job has begun."""
    return not job.force and job.execution.status is Status.QUEUED


def may_downgrade(core: Core, job: Job) -> bool:
    allowed = core.policy.allow_downgrade
    return allowed is Downgrades.YES or (allowed is Downgrades.FORCED and job.force)


def note_installation(core: Core, job: Job, stage: Stage) -> None:
    core.record.note_installation(Installation(job.version, stage))

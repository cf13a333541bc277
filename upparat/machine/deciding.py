"""Whether the next step of a job begins now, or waits at the gate."""

from __future__ import annotations

from upparat.job import Job
from upparat.ports import JobStep, Stage

from .model import Artifact, Check, Core, HeldJob, Inputs, Restart


def begin(inputs: Inputs, core: Core, held: HeldJob) -> None:
    """Begin a step, or wait until it may begin."""
    if core.gate is not None and core.gate.holds(held.step, held.job):
        inputs._hold(held)
    else:
        go_on(inputs, held)


def go_on(inputs: Inputs, held: HeldJob) -> None:
    """Begin a step that may begin."""
    if held.step is JobStep.RESTART:
        inputs._restart(held.job)
    elif held.path:
        inputs._install(Artifact(held.job, held.path))
    else:
        inputs._download(held.job)


def begin_download(inputs: Inputs, core: Core, job: Job) -> None:
    """Begin the download, unless it has to wait."""
    begin(inputs, core, HeldJob(job, JobStep.DOWNLOAD, known=job.execution.details))


def begin_install(inputs: Inputs, core: Core, job: Job, path: str) -> None:
    """Begin the installation of a file, unless it has to wait."""
    begin(inputs, core, HeldJob(job, JobStep.INSTALL, path))


def waits_again(inputs: Inputs, core: Core, job: Job) -> bool:
    """Whether an earlier agent has waited with the installation or the restart of this job. Then
    the job goes on from there."""
    memory = core.memory
    if core.gate is None or memory is None or memory.key != job.key:
        return False
    known = job.execution.details
    match core.gate.last_wait(job.key):
        case JobStep.INSTALL:
            begin(inputs, core, HeldJob(job, JobStep.INSTALL, known=known))
            return True
        case JobStep.RESTART if _is_installed(core, job) and memory.same_boot:
            begin(inputs, core, HeldJob(job, JobStep.RESTART, known=known))
            return True
        case JobStep.RESTART if _is_installed(core, job):  # the reboot may have been the restart
            inputs._check(Check(job, Restart.UNFINISHED, until=core.timer.now()))
            return True
    return False


def _is_installed(core: Core, job: Job) -> bool:
    installation = core.record.unconfirmed(job.version)
    return installation is not None and installation.stage is Stage.INSTALLED

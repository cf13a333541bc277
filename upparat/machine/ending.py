"""The end of a job in whatever state, and of the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from upparat.job import Hook, Job, JobExecution, Report, State
from upparat.ports import Ending, Memory, Rollback
from upparat.snapshots import EndedJob

from .model import BY_OTHERS, OTHERS, Aftermath, Artifact, Core, Downloading, Inputs, Work
from .restarts import GOING_DOWN, LINGER_POLL
from .rollback import fail_early, fail_installation, may_take_back
from .states import (
    WORKING,
    cleanup,
    download,
    fetch_jobs,
    idle,
    install,
    monitor,
    restart,
    select_job,
    stopped,
    verify_installation,
    verify_job,
    wind_down,
)

NOTHING: Mapping[str, str] = MappingProxyType({})

NOTHING_MORE = "nothing more is done for it"


def finish(inputs: Inputs, core: Core, work: Work, report: Report) -> None:
    core.job = None
    core.memory = None
    if report.confirms:
        core.record.confirm(work.job.version)
    end(core, work.job.execution, report, versions={"from": core.replaced, "to": work.job.version})
    core.hooks.forget_restart()  # before the record forgets the job that it belongs to
    tidy(inputs, core, Ending(work.job, report.state.value, report.message))
    if report.discards:
        core.downloads.discard(work.job.key)


def finish_untold(inputs: Inputs, core: Core, work: Work) -> None:
    """End a job that others have ended in AWS."""
    core.job = None
    core.memory = None
    core.hooks.forget_restart()
    tidy_untold(inputs, core, work.job)
    core.downloads.discard(work.job.key)


def tidy(inputs: Inputs, core: Core, ending: Ending) -> None:
    """Let the owner tidy up. The end of the job is safe on the disk by now."""
    if Hook.CLEANUP in core.policy.hooks:
        core.record.cleaning(ending)
        core.hooks.run(Hook.CLEANUP, ending.job, ending.state, ending.message)
    else:
        core.record.clear()
        inputs._tidied()


def tidy_untold(inputs: Inputs, core: Core, job: Job, told: EndedJob | None = None) -> None:
    """Let the owner tidy up after a job that others have ended, or an earlier agent has."""
    core.on_left(job.execution)
    state, message = (told.state, told.message) if told is not None else (OTHERS, NOTHING_MORE)
    tidy(inputs, core, Ending(job, state, message))


@idle.upon(Inputs.start).loop()
def begin(inputs: Inputs, core: Core, memory: Memory | None) -> None:
    """Begin with what an earlier agent has left over."""
    core.memory = memory
    ending = core.record.uncleaned()
    if ending is None:
        inputs._tidied()
    elif Hook.CLEANUP in core.policy.hooks:
        core.hooks.run(Hook.CLEANUP, ending.job, ending.state, ending.message)
    else:
        have_cleaned(inputs, core)


@idle.upon(Inputs.cleaned).loop()
@cleanup.upon(Inputs.cleaned).loop()
def have_cleaned(inputs: Inputs, core: Core) -> None:
    core.record.clear()
    inputs._tidied()


@idle.upon(Inputs.hook_failed).loop()
@cleanup.upon(Inputs.hook_failed).loop()
def have_not_cleaned(
    inputs: Inputs, core: Core, hook: Hook, message: str, facts: Mapping[str, str]
) -> None:
    have_cleaned(inputs, core)


@idle.upon(Inputs._tidied).to(fetch_jobs)
@cleanup.upon(Inputs._tidied).to(fetch_jobs)
def go_on(inputs: Inputs, core: Core) -> None:
    core.jobs.fetch()


def end(
    core: Core, execution: JobExecution, report: Report, versions: Mapping[str, str] = NOTHING
) -> None:
    core.log.info(
        "{job_id}: {status} {state}: {what}",
        job_id=execution.job_id,
        status=report.status.value,
        state=report.state.value,
        what=report.details["message"],  # observers of the old log keep "message" for themselves
        execution=execution.key,
    )
    core.ended.append(execution.key)
    facts = {**report.facts, "agent": core.policy.agent, **versions}
    core.on_ended(_ended_job(execution, report, versions.get("from", "")))
    core.jobs.report(execution, replace(report, facts=facts))


def _ended_job(execution: JobExecution, report: Report, replaced: str) -> EndedJob:
    document = execution.document
    version = document.get("version") if isinstance(document, dict) else None
    details = report.details
    return EndedJob(
        execution.key,
        version if isinstance(version, str) else "",
        report.status.value,
        details["state"],
        details["message"],
        replaced,
    )


def fail(
    inputs: Inputs, core: Core, work: Work, hook: Hook, message: str, facts: Mapping[str, str]
) -> None:
    fail_early(inputs, core, work.job, Report(hook.failure, message, facts))


def fail_installed(
    inputs: Inputs, core: Core, work: Work, hook: Hook, message: str, facts: Mapping[str, str]
) -> None:
    forget_renewal(core, work)
    fail_installation(inputs, core, work.job, Report(hook.failure, message, facts))


def forget_renewal(core: Core, work: Work) -> None:
    """The install hook has ended without the fresh URL: do not ask for it any more. The next state
    would take that time-out for its own."""
    if isinstance(work, Artifact) and work.renewing:
        core.timer.cancel()


def cancel(inputs: Inputs, core: Core, work: Work) -> None:
    ended_by_others(inputs, core, work, restarting=False)


def cancel_restart(inputs: Inputs, core: Core, work: Work) -> None:
    ended_by_others(inputs, core, work, restarting=True)


def ended_by_others(inputs: Inputs, core: Core, work: Work, *, restarting: bool) -> None:
    job, undo = work.job, restarting and may_take_back(core, work.job.key)
    message = "its installation is taken back" if undo else NOTHING_MORE
    core.log.warn("{job_id}: ended by others; {what}", job_id=job.job_id, what=message)
    core.on_ended(EndedJob(job.key, job.version, "", OTHERS, message))
    inputs._abandon(Aftermath(job.key, restarting, job, undo))


for _calm in (verify_job, download, install):
    _calm.upon(Inputs.cancelled).loop()(cancel)
for _restarting in (restart, verify_installation):
    _restarting.upon(Inputs.cancelled).loop()(cancel_restart)
for _new in (verify_job, download):
    _new.upon(Inputs.hook_failed).loop()(fail)
for _installed in (install, restart):
    _installed.upon(Inputs.hook_failed).loop()(fail_installed)
for _working in WORKING:
    _working.upon(Inputs._finish).to(cleanup)(finish)
    _working.upon(Inputs._abandon).to(wind_down).returns(None)


@wind_down.upon(Inputs.released).loop()
def have_released(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    if aftermath.restarting:
        settle(inputs, core, aftermath)
    else:
        leave(inputs, core, aftermath)


@wind_down.upon(Inputs.timeout).loop()
def settle(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    """Begin nothing while the device may be about to go down."""
    if core.hooks.restart_lingers():
        core.wait_for(GOING_DOWN, max(core.policy.restart_grace, LINGER_POLL))
    elif not aftermath.settled:
        aftermath.settled = True
        core.wait_for(GOING_DOWN, core.policy.restart_grace)
    else:
        leave(inputs, core, aftermath)


def leave(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    job = aftermath.job
    if job is not None and aftermath.undo:
        inputs._roll_back(job, aftermath.rollback or Rollback(job.version, None, BY_OTHERS))
    else:
        inputs._clean_up()


@wind_down.upon(Inputs._clean_up).to(cleanup)
def clean_up(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    """Remove the file only now: an install hook that was left to finish was reading it. Until now
    the record names the execution, so that its file is removed even if the agent dies before."""
    core.downloads.discard(aftermath.key)
    if aftermath.job is not None:
        tidy_untold(inputs, core, aftermath.job, aftermath.told)
    else:
        core.record.clear()
        inputs._tidied()


# --- the agent is stopped ---------------------------------------------------------------------

for _waiting in (idle, fetch_jobs, monitor, cleanup):
    _waiting.upon(Inputs.stop).to(stopped).returns(None)
for _unreported in (select_job, verify_job, restart, verify_installation, wind_down):
    _unreported.upon(Inputs.stop).to(stopped).returns(None)


@download.upon(Inputs.stop).to(stopped)
def interrupt_download(inputs: Inputs, core: Core, transfer: Downloading) -> None:
    if transfer.running:
        report = Report(State.DOWNLOAD_INTERRUPT, "The agent was stopped")
        core.jobs.report(transfer.job.execution, report)


@install.upon(Inputs.stop).to(stopped)
def interrupt_installation(inputs: Inputs, core: Core, artifact: Artifact) -> None:
    report = Report(State.INSTALLATION_INTERRUPT, "The agent was stopped")
    core.jobs.report(artifact.job.execution, report)

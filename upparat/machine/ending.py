"""The end of a job in whatever state, and of the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from upparat.job import Hook, JobExecution, Report, State
from upparat.snapshots import EndedJob

from .model import Aftermath, Artifact, Core, Downloading, Inputs, Work
from .restarts import GOING_DOWN
from .states import (
    WORKING,
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

OTHERS = "ended_by_others"
"""The state of a job that others have ended; the agent reports nothing then."""

LINGER_POLL = 1.0
"""Seconds between two looks, at the least, at a restart hook that an earlier agent has left."""


def finish(inputs: Inputs, core: Core, work: Work, report: Report) -> None:
    core.job = None
    core.memory = None
    if report.confirms:
        core.record.confirm(work.job.version)
    end(core, work.job.execution, report, versions={"from": core.replaced, "to": work.job.version})
    core.hooks.forget_restart()  # before the record forgets the job that it belongs to
    core.record.clear()
    if report.discards:
        core.downloads.discard(work.job.key)
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
    core.on_ended(_ended_job(execution, report))
    core.jobs.report(execution, replace(report, facts=facts))


def _ended_job(execution: JobExecution, report: Report) -> EndedJob:
    document = execution.document
    version = document.get("version") if isinstance(document, dict) else None
    details = report.details
    return EndedJob(
        execution.key,
        version if isinstance(version, str) else "",
        report.status.value,
        details["state"],
        details["message"],
    )


def fail(
    inputs: Inputs, core: Core, work: Work, hook: Hook, message: str, facts: Mapping[str, str]
) -> None:
    if isinstance(work, Artifact) and work.renewing:
        core.timer.cancel()
    inputs._finish(Report(hook.failure, message, facts))


def cancel(inputs: Inputs, core: Core, work: Work) -> None:
    ended_by_others(inputs, core, work, restarting=False)


def cancel_restart(inputs: Inputs, core: Core, work: Work) -> None:
    ended_by_others(inputs, core, work, restarting=True)


def ended_by_others(inputs: Inputs, core: Core, work: Work, *, restarting: bool) -> None:
    core.log.warn("{job_id}: ended by others; nothing more is done for it", job_id=work.job.job_id)
    message = "nothing more is done for it"
    core.on_ended(EndedJob(work.job.key, work.job.version, "", OTHERS, message))
    inputs._abandon(work.job.key, restarting)


for _calm in (verify_job, download, install):
    _calm.upon(Inputs.cancelled).loop()(cancel)
for _restarting in (restart, verify_installation):
    _restarting.upon(Inputs.cancelled).loop()(cancel_restart)
for _working in WORKING:
    _working.upon(Inputs.hook_failed).loop()(fail)
    _working.upon(Inputs._finish).to(fetch_jobs)(finish)
    _working.upon(Inputs._abandon).to(wind_down).returns(None)


@wind_down.upon(Inputs.released).loop()
def have_released(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    if aftermath.restarting:
        settle(inputs, core, aftermath)
    else:
        inputs._clean_up()


@wind_down.upon(Inputs.timeout).loop()
def settle(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    """Begin nothing while the device may be about to go down."""
    if core.hooks.restart_lingers():
        core.wait_for(GOING_DOWN, max(core.policy.restart_grace, LINGER_POLL))
    elif not aftermath.settled:
        aftermath.settled = True
        core.wait_for(GOING_DOWN, core.policy.restart_grace)
    else:
        inputs._clean_up()


@wind_down.upon(Inputs._clean_up).to(fetch_jobs)
def clean_up(inputs: Inputs, core: Core, aftermath: Aftermath) -> None:
    """Remove the file only now: an install hook that was left to finish was reading it. Until now
    the record names the execution, so that its file is removed even if the agent dies before."""
    core.downloads.discard(aftermath.key)
    core.record.clear()
    core.jobs.fetch()


# --- the agent is stopped ---------------------------------------------------------------------

for _waiting in (idle, fetch_jobs, monitor):
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

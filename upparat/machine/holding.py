"""A step that waits at the gate."""

from __future__ import annotations

from upparat.job import Report, State

from .deciding import go_on
from .ending import ended_by_others, finish
from .model import Core, HeldJob, Inputs
from .rollback import fail_early
from .states import (
    cleanup,
    download,
    hold,
    install,
    restart,
    stopped,
    verify_installation,
    verify_job,
    wind_down,
)

for _before in (verify_job, download, install, verify_installation):
    _before.upon(Inputs._hold).to(hold).returns(None)


@hold.upon(Inputs.held).loop()
def report_wait(inputs: Inputs, core: Core, held: HeldJob, report: Report) -> None:
    """Report what is waited for, unless AWS knows it: by an earlier agent, for instance."""
    core.log.info("{job_id}: {what}", job_id=held.job.job_id, what=report.message)
    details = report.details
    if not held.restarting and {name: held.known.get(name) for name in details} != details:
        core.jobs.report(held.job.execution, report)
    held.known = details


@hold.upon(Inputs.permitted).loop()
def let_begin(inputs: Inputs, core: Core, held: HeldJob) -> None:
    core.log.info("{job_id}: {step} may begin", job_id=held.job.job_id, step=held.step.value)
    go_on(inputs, held)


hold.upon(Inputs._download).to(download).returns(None)
hold.upon(Inputs._install).to(install).returns(None)
hold.upon(Inputs._restart).to(restart).returns(None)


@hold.upon(Inputs.cancelled).loop()
def cancel_wait(inputs: Inputs, core: Core, held: HeldJob) -> None:
    _leave(core)
    ended_by_others(inputs, core, held, restarting=held.restarting)


@hold.upon(Inputs.download_failed).loop()
def lose_stream(inputs: Inputs, core: Core, held: HeldJob, state: State, message: str) -> None:
    """The file that the install hook was to read will not come."""
    _leave(core)
    fail_early(inputs, core, held.job, Report(state, message))


@hold.upon(Inputs.stop).to(stopped)
def stop_waiting(inputs: Inputs, core: Core, held: HeldJob) -> None:
    _leave(core)


hold.upon(Inputs._finish).to(cleanup)(finish)
hold.upon(Inputs._abandon).to(wind_down).returns(None)


def _leave(core: Core) -> None:
    if core.gate is not None:
        core.gate.leave()

"""The states of the machine, and the work that starts with each."""

from __future__ import annotations

from automat import TypeMachineBuilder

from upparat.job import Hook, Job, Report, State
from upparat.ports import BY_INSTALLER, LOOPBACK, JobStep, Rollback, Stage

from .deciding import begin_download, waits_again
from .model import (
    Aftermath,
    Artifact,
    Check,
    Core,
    Downloading,
    HeldJob,
    Inputs,
    Restart,
    Selection,
    Undoing,
    Work,
)
from .restarts import begin_restart, check_after_start, look_at_result, restarted
from .rollback import go_on, lost, restart_again, was_rolling_back
from .versions import may_downgrade, maybe_installed, note_installation

builder = TypeMachineBuilder(Inputs, Core)


# --- entering a state starts its work ---------------------------------------------------------


def look(inputs: Inputs, core: Core, selection: Selection) -> Selection:
    inputs._look()
    return selection


def verify(inputs: Inputs, core: Core, job: Job) -> Work:
    core.replaced = core.memory.replaced if core.memory and core.memory.key == job.key else ""
    core.job = job
    core.jobs.follow(job.execution)
    if core.memory and core.memory.key == job.key and core.memory.rollback:
        inputs._roll_back(job, core.memory.rollback)
        return Work(job)
    if was_rolling_back(job.execution):
        inputs._finish(lost(job.execution))
        return Work(job)
    if restarted(core, job.execution):
        inputs._check(check_after_start(core, job))
        return Work(job)
    if waits_again(inputs, core, job):
        return Work(job)
    core.record.working(job.key)
    asked = maybe_installed(job) or not may_downgrade(core, job)
    if asked and Hook.VERSION in core.policy.hooks:
        core.hooks.run(Hook.VERSION, job)
    else:
        begin_download(inputs, core, job)
    return Work(job)


def prepare_download(inputs: Inputs, core: Core, job: Job) -> Downloading:
    if Hook.CHECK in core.policy.hooks:
        core.hooks.run(Hook.CHECK, job)
    else:
        inputs.compatible()
    return Downloading(job)


def install_file(inputs: Inputs, core: Core, artifact: Artifact) -> Artifact:
    if Hook.INSTALL in core.policy.hooks:
        note_installation(core, artifact.job, Stage.INSTALLING)
        said = (BY_INSTALLER,) if artifact.path == LOOPBACK else ()
        core.jobs.report(artifact.job.execution, Report(State.INSTALLATION_START, *said))
        core.hooks.run(Hook.INSTALL, artifact.job, artifact.path)
    else:
        inputs._finish(Report(State.NO_INSTALLATION_HOOK_PROVIDED))
    return artifact


def announce_restart(inputs: Inputs, core: Core, job: Job) -> Work:
    """Report the restart. The hook runs once AWS has accepted the report.

    If the report were lost, the whole update would run a second time after the restart.
    """
    if Hook.RESTART in core.policy.hooks:
        core.jobs.report(job.execution, Report(State.REBOOT_START))
    else:
        inputs._finish(Report(State.NO_RESTART_HOOK_PROVIDED))
    return Work(job)


def take_back(inputs: Inputs, core: Core, job: Job, rollback: Rollback) -> Undoing:
    core.timer.cancel()
    core.hooks.forget_restart()
    core.job = job
    undoing = Undoing(job, rollback)
    go_on(inputs, core, undoing)
    return undoing


def check_version(inputs: Inputs, core: Core, check: Check) -> Check:
    match check.restart:
        case Restart.WAITING:
            # not one of the restart_attempts: the hook has restarted nothing
            begin_restart(inputs, core, check.job)
        case Restart.NEVER_BEGUN:
            restart_again(inputs, core, check)
        case Restart.UNFINISHED if Hook.VERSION not in core.policy.hooks:
            restart_again(inputs, core, check)
        case _:
            look_at_result(inputs, core, check)
    return check


def wait_at_gate(inputs: Inputs, core: Core, held: HeldJob) -> HeldJob:
    if held.step is JobStep.DOWNLOAD:
        core.record.working(held.job.key)  # with the version that is replaced
    if core.gate is not None:
        core.gate.wait(held.step, held.job)
    return held


def release_hooks(inputs: Inputs, core: Core, aftermath: Aftermath) -> Aftermath:
    core.jobs.unfollow()
    core.timer.cancel()
    core.downloads.stop()
    core.job = None
    core.memory = None
    core.hooks.release()
    return aftermath


# --- states -----------------------------------------------------------------------------------

idle = builder.state("idle")
fetch_jobs = builder.state("fetch_jobs")
monitor = builder.state("monitor")
select_job = builder.state("select_job", look)
verify_job = builder.state("verify_job", verify)
download = builder.state("download", prepare_download)
install = builder.state("install", install_file)
restart = builder.state("restart", announce_restart)
verify_installation = builder.state("verify_installation", check_version)
hold = builder.state("hold", wait_at_gate)
rollback = builder.state("rollback", take_back)
wind_down = builder.state("wind_down", release_hooks)
cleanup = builder.state("cleanup")
stopped = builder.state("stopped")

WORKING = (verify_job, download, install, restart, verify_installation)
"""The states that have a job in hand."""

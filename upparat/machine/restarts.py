"""How far the restart of an update has got, as far as the device and AWS know."""

from __future__ import annotations

from upparat.job import Hook, Job, JobExecution, Report, State, Status
from upparat.ports import JobStep, Memory, Stage
from upparat.snapshots import WaitKind

from .deciding import begin
from .model import Check, Core, HeldJob, Inputs, Pause, Restart

LINGER_POLL = 1.0
"""Seconds between two looks, at the least, at a restart hook that an earlier agent has left."""

GOING_DOWN = Pause(WaitKind.RESTART_GRACE, "the device may be going down")


def restarted(core: Core, execution: JobExecution) -> bool:
    """Whether this job had reached its restart, by the fleet's memory or the device's."""
    memory = core.memory
    remembered = memory is not None and memory.key == execution.key and memory.restart_accepted
    return remembered or (
        execution.status is Status.IN_PROGRESS and execution.state == State.REBOOT_START.value
    )


def going_down(memory: Memory) -> bool:
    """Whether a restart hook may be about to take the device down."""
    return memory.same_boot and memory.restart_attempts > 0 and not memory.restart_waiting


def check_after_start(core: Core, job: Job) -> Check:
    """After a reboot the version is final; otherwise ask again until ``restart_timeout``."""
    memory, now = core.memory, core.timer.now()
    if memory is None or memory.key != job.key:
        return _check_without_memory(core, job)
    restart = _how_far(memory)
    final_version = not memory.same_boot or memory.verified or restart is Restart.NEVER_BEGUN
    until = now if final_version else now + core.policy.restart_timeout
    verified = memory.verified if memory.same_boot else None
    settled = now + core.policy.restart_grace if going_down(memory) and not verified else now
    doubted = now + core.policy.restart_timeout if memory.verified else now
    return Check(job, restart, until, verified, settled, doubted)


def settling(core: Core, check: Check) -> float:
    """Seconds for which the device may still be going down: a hook that fails meanwhile says
    nothing, and no other job may begin."""
    now, grace = core.timer.now(), core.policy.restart_grace
    if not core.hooks.restart_lingers():
        return check.settled - now
    wait = max(grace, LINGER_POLL)
    check.settled = now + wait + grace  # the time counts from the hook's end
    return wait


def look_at_result(inputs: Inputs, core: Core, check: Check) -> None:
    """Look at the result of the restart, once the device has had its time to go down: a version
    hook may name what is installed, before anybody runs it."""
    left = check.settled - core.timer.now()
    if Hook.VERSION in core.policy.hooks and left > 0:
        core.wait_for(GOING_DOWN, left)
    else:
        ask_version(inputs, core, check)


def ask_version(inputs: Inputs, core: Core, check: Check) -> None:
    """Run the version hook; without one, see whether the restart is over."""
    if Hook.VERSION in core.policy.hooks:
        core.hooks.run(Hook.VERSION, check.job)
    else:
        complete_unverified(inputs, core, check)


def complete_unverified(inputs: Inputs, core: Core, check: Check) -> None:
    """Without a version hook the restart is over when the device may not be going down any more.

    A restart hook that never ends is waited for until ``restart_timeout``: it may have become the
    application of the device.
    """
    endless = core.hooks.restart_lingers() and core.timer.now() >= check.until
    if not endless and (left := settling(core, check)) > 0:
        core.wait_for(GOING_DOWN, left)
    else:
        inputs._finish(Report(State.COMPLETE_NO_VERSION_CHECK))


def _check_without_memory(core: Core, job: Job) -> Check:
    """Go by the status details alone, which say that the restart was announced, unless the record
    knows that nothing came after the installation: the memory went when another job was begun."""
    installation = core.record.unconfirmed(job.version)
    if installation is not None and installation.stage is Stage.INSTALLED:
        return Check(job, Restart.NEVER_BEGUN, until=core.timer.now())
    core.record.restarted(job.key)
    return Check(job, Restart.DONE, until=core.timer.now())


def _how_far(memory: Memory) -> Restart:
    """Tell from the device's memory how far the restart had got.

    A restart hook that never began has not caused the reboot: that was a power cut. A hook that was
    running, and that nothing had told to end, may have caused it: only the version can tell.
    """
    if memory.restart_waiting:
        return Restart.WAITING
    if memory.restart_done:
        return Restart.DONE
    if memory.restart_attempts:
        return Restart.UNFINISHED if memory.same_boot else Restart.CUT_SHORT
    return Restart.NEVER_BEGUN if memory.same_boot else Restart.UNFINISHED


def begin_restart(inputs: Inputs, core: Core, job: Job) -> None:
    """Begin the restart, unless it has to wait."""
    begun = restarted(core, job.execution)
    begin(
        inputs, core, HeldJob(job, JobStep.RESTART, known=job.execution.details, restarting=begun)
    )


def may_restart(core: Core) -> bool:
    return core.memory is None or core.memory.restart_attempts < core.policy.restart_attempts

"""What runs after the restart: the version, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping

from upparat.job import Hook, Report, State
from upparat.ports import Stage
from upparat.snapshots import WaitKind

from .model import Check, Core, Inputs, Pause, Restart
from .restarts import GOING_DOWN, ask_version, begin_restart, may_restart, settling
from .rollback import fail_installation, restart_again
from .states import restart, verify_installation
from .versions import note_installation


@verify_installation.upon(Inputs.version_known).loop()
def compare_installed(inputs: Inputs, core: Core, check: Check, version: str) -> None:
    if version == check.job.version and check.verified:
        inputs._finish(Report(check.verified))
    elif version == check.job.version:
        _check_ready(inputs, core, check)
    elif not version and _asks_again(core, check, "the version hook names no version"):
        return
    elif core.hooks.restart_lingers():
        # The time for the version to change counts from the hook's end.
        interval = core.policy.retry_interval
        check.until = core.timer.now() + interval + core.policy.restart_timeout
        core.wait_for(_old_version(check, version), interval)
    else:
        _have_another_version(inputs, core, check, version)


def _have_another_version(inputs: Inputs, core: Core, check: Check, version: str) -> None:
    """Restart again, ask again, or fail: the version that runs is not the job's."""
    left = check.until - core.timer.now()
    match check.restart:
        case Restart.UNFINISHED:
            restart_again(inputs, core, check)
        case Restart.CUT_SHORT if may_restart(core):
            begin_restart(inputs, core, check.job)
        case _ if left > 0:
            core.wait_for(_old_version(check, version), min(core.policy.retry_interval, left))
        case _:
            message = f"Expected version '{check.job.version}', got '{version}'"
            report = Report(State.VERSION_MISMATCH, message)
            fail_installation(inputs, core, check.job, report)


def _old_version(check: Check, version: str) -> Pause:
    why = f"the version is {version!r}, not {check.job.version!r}"
    return Pause(WaitKind.RESTART_TIMEOUT, why, check.until)


def _check_ready(inputs: Inputs, core: Core, check: Check) -> None:
    if Hook.READY in core.policy.hooks:
        note_installation(core, check.job, Stage.RESTARTED)
        core.hooks.run(Hook.READY, check.job)
    else:
        inputs._finish(_completed(check, State.COMPLETE_NO_READY_CHECK))


verify_installation.upon(Inputs._restart).to(restart).returns(None)


verify_installation.upon(Inputs.timeout).loop()(ask_version)


def _asks_again(core: Core, check: Check, why: str) -> bool:
    """Let a success in doubt wait for another answer: one bad answer must not take it back.

    Returns ``False`` if its time is over, or if there is no such success.
    """
    left = check.doubted - core.timer.now()
    if left > 0:
        pause = Pause(WaitKind.RESTART_TIMEOUT, why, check.doubted)
        core.wait_for(pause, min(core.policy.retry_interval, left))
    return left > 0


@verify_installation.upon(Inputs.hook_failed).loop()
def fail_check(
    inputs: Inputs, core: Core, check: Check, hook: Hook, message: str, facts: Mapping[str, str]
) -> None:
    asks = hook is Hook.VERSION
    if asks and (left := settling(core, check)) > 0:
        core.wait_for(GOING_DOWN, left)
    elif not asks or not _asks_again(core, check, f"the version hook fails: {message}"):
        fail_installation(inputs, core, check.job, Report(hook.failure, message, facts))


@verify_installation.upon(Inputs.ready).loop()
def have_ready(inputs: Inputs, core: Core, check: Check) -> None:
    inputs._finish(_completed(check, State.COMPLETE_READY))


def _completed(check: Check, after_start: State) -> Report:
    soft = check.restart is Restart.LIVED_THROUGH
    return Report(State.COMPLETE_SOFT_RESTART if soft else after_start)

"""The way back from an installation that has failed."""

from __future__ import annotations

from collections.abc import Mapping

from upparat.job import Hook, State
from upparat.snapshots import EndedJob, WaitKind

from .ending import finish, finish_untold
from .model import BY_OTHERS, OTHERS, Core, Inputs, Pause, Undoing
from .restarts import GOING_DOWN
from .rollback import UNKNOWN, ask, conclude, give_up, note, restart_back, run_hook
from .states import (
    cleanup,
    download,
    hold,
    install,
    restart,
    rollback,
    stopped,
    verify_installation,
    verify_job,
    wind_down,
)

for _begun in (verify_job, download, hold, install, restart, verify_installation, wind_down):
    _begun.upon(Inputs._roll_back).to(rollback).returns(None)


@rollback.upon(Inputs.delivered).loop()
@rollback.upon(Inputs.undeliverable).loop()
def have_announced(inputs: Inputs, core: Core, undoing: Undoing, state: State) -> None:
    if undoing.unheard and state is State.ROLLBACK_START:
        run_hook(core, undoing)


@rollback.upon(Inputs.rolled_back).loop()
def have_rolled_back(inputs: Inputs, core: Core, undoing: Undoing, restart: bool) -> None:
    note(core, undoing, hook_done=True, restart=restart)
    if restart:
        restart_back(inputs, core, undoing)
    else:
        ask(inputs, core, undoing)


@rollback.upon(Inputs.restarted).loop()
def give_grace_back(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    note(core, undoing, restarted=True)
    core.wait_for(GOING_DOWN, core.policy.restart_grace)


@rollback.upon(Inputs.timeout).loop()
def ask_again_back(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    if not undoing.until:
        undoing.until = core.timer.now() + core.policy.restart_timeout
    ask(inputs, core, undoing)


@rollback.upon(Inputs.version_known).loop()
def compare_back(inputs: Inputs, core: Core, undoing: Undoing, version: str) -> None:
    """Tell what runs now. After a restart the failed version should be gone."""
    taken = undoing.rollback
    left = undoing.until - core.timer.now()
    if not taken.restart or taken.failed or version != undoing.job.version:
        conclude(inputs, core, undoing, version)
    elif not taken.restarted:  # cut short, perhaps before the hook did anything
        undoing.until = 0.0
        restart_back(inputs, core, undoing)
    elif left > 0:
        why = f"{version!r} still runs, which is to be taken back"
        pause = Pause(WaitKind.RESTART_TIMEOUT, why, undoing.until)
        core.wait_for(pause, min(core.policy.retry_interval, left))
    elif core.replaced in (version, ""):  # it may have run before the update, too
        conclude(inputs, core, undoing, version, UNKNOWN)
    else:
        note(core, undoing, failed=True)
        conclude(inputs, core, undoing, version)


@rollback.upon(Inputs.hook_failed).loop()
def fail_back(
    inputs: Inputs,
    core: Core,
    undoing: Undoing,
    hook: Hook,
    message: str,
    facts: Mapping[str, str],
) -> None:
    if hook is Hook.VERSION:
        conclude(inputs, core, undoing, "")
    else:
        give_up(inputs, core, undoing)


@rollback.upon(Inputs.cancelled).loop()
def cancel_back(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    """Take the installation back all the same, and tell AWS nothing more."""
    core.log.warn("{job_id}: ended by others; the rollback goes on", job_id=undoing.job.job_id)
    note(core, undoing, state=None, message=BY_OTHERS, facts={})
    core.jobs.unfollow()
    core.on_ended(EndedJob(undoing.job.key, undoing.job.version, "", OTHERS, "it is taken back"))
    if undoing.unheard:
        run_hook(core, undoing)


rollback.upon(Inputs._finish).to(cleanup)(finish)
rollback.upon(Inputs._clean_up).to(cleanup)(finish_untold)
rollback.upon(Inputs.stop).to(stopped).returns(None)

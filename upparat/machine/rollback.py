"""How far a failed installation has been taken back, and what comes next."""

from __future__ import annotations

from dataclasses import replace

from upparat.job import ExecutionKey, Hook, Job, JobExecution, Report, State, Status
from upparat.ports import Rollback

from .model import OTHERS, Check, Core, Inputs, Undoing
from .restarts import GOING_DOWN, begin_restart, may_restart

NOT_BEGUN = "none"
DONE = "done"
FAILED = "failed"
UNKNOWN = "unknown"
"""Values of ``statusDetails.rollback``; the last one if the record is lost, or if the version that
was to go may have run before the update, too."""

_SEPARATOR = ": "


def may_take_back(core: Core, key: ExecutionKey) -> bool:
    """Whether the owner says how to take the installation back. If another job has displaced this
    one, its installation would be taken back instead."""
    return Hook.ROLLBACK in core.policy.hooks and not core.record.displaced(key)


def fail_installation(inputs: Inputs, core: Core, job: Job, report: Report) -> None:
    """End a job whose install hook was begun: take the installation back, if that can be done."""
    if may_take_back(core, job.key):
        rollback = Rollback(job.version, report.state, report.message, report.facts)
        inputs._roll_back(job, rollback)
    else:
        inputs._finish(_with_outcome(report, NOT_BEGUN))


def begun(core: Core, key: ExecutionKey) -> bool:
    """Whether an earlier agent has begun the install hook of this execution."""
    return bool(core.record.installs(key))


def fail_early(inputs: Inputs, core: Core, job: Job, report: Report) -> None:
    """End a job whose install hook this agent has not begun; an earlier one may have."""
    if begun(core, job.key):
        fail_installation(inputs, core, job, report)
    else:
        inputs._finish(report)


def restart_again(inputs: Inputs, core: Core, check: Check) -> None:
    """Restart at least once, but not for ever: the restart hook may be what kills the agent."""
    if may_restart(core):
        begin_restart(inputs, core, check.job)
    else:
        attempts = core.policy.restart_attempts
        message = f"The agent was stopped in each of {attempts} runs of the restart hook"
        report = Report(State.RESTART_HOOK_FAILED, message)
        fail_installation(inputs, core, check.job, report)


def go_on(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    """Begin the next step. Each may run again after a crash, but for a hook that has ended."""
    rollback = undoing.rollback
    if not rollback.hook_done and Hook.ROLLBACK not in core.policy.hooks:
        give_up(inputs, core, undoing)  # the owner has changed the configuration meanwhile
    elif not rollback.hook_done:
        begin(core, undoing)
    elif not rollback.restart or rollback.failed:
        ask(inputs, core, undoing)
    elif not rollback.restarts:
        restart_back(inputs, core, undoing)
    else:  # the agent was started anew: the device has gone down, or is about to
        core.wait_for(GOING_DOWN, core.policy.restart_grace)


def note(core: Core, undoing: Undoing, **changes: object) -> bool:
    """Change the rollback and remember it; returns whether that worked."""
    undoing.rollback = replace(undoing.rollback, **changes)  # type: ignore[arg-type]
    return core.record.rolling_back(undoing.job.key, undoing.rollback)


def begin(core: Core, undoing: Undoing) -> None:
    """Announce the rollback and run its hook.

    If the record cannot be written, AWS has to know of it first. A later agent must not take back
    what this one has restored.
    """
    remembered = note(core, undoing) and core.record.kept
    announcement = _announcement(undoing)
    undoing.unheard = not remembered and announcement is not None
    waits = undoing.unheard  # the answer of AWS may come before the report returns
    if waits:
        core.jobs.follow(undoing.job.execution)
    if announcement is not None:
        core.jobs.report(undoing.job.execution, announcement)
    if not waits:
        run_hook(core, undoing)


def run_hook(core: Core, undoing: Undoing) -> None:
    undoing.unheard = False
    rollback = undoing.rollback
    state = rollback.state.value if rollback.state else OTHERS
    core.hooks.run(Hook.ROLLBACK, undoing.job, state, rollback.message)


def _announcement(undoing: Undoing) -> Report | None:
    rollback = undoing.rollback
    if rollback.state is None or was_rolling_back(undoing.job.execution):
        return None
    message = f"{rollback.state.value}{_SEPARATOR}{rollback.message}"
    return Report(State.ROLLBACK_START, message)


def restart_back(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    """Run the restart hook for the rollback, at most ``restart_attempts`` times."""
    restarts = undoing.rollback.restarts
    configured = Hook.RESTART in core.policy.hooks
    if not configured or restarts >= core.policy.restart_attempts:
        what = "has run too often" if configured else "is not configured"
        core.log.warn(
            "{job_id}: the rollback asks for the restart hook, which {what}",
            job_id=undoing.job.job_id,
            what=what,
        )
        give_up(inputs, core, undoing)
    elif note(core, undoing, restarts=restarts + 1, restarted=False):
        core.hooks.run(Hook.RESTART, undoing.job)
    else:  # restarts that are not counted could go on for ever
        give_up(inputs, core, undoing)


def give_up(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    note(core, undoing, hook_done=True, failed=True)
    ask(inputs, core, undoing)


def ask(inputs: Inputs, core: Core, undoing: Undoing) -> None:
    """Ask which version runs now, for the report."""
    if Hook.VERSION in core.policy.hooks:
        core.hooks.run(Hook.VERSION, undoing.job)
    else:
        conclude(inputs, core, undoing, "")


def conclude(inputs: Inputs, core: Core, undoing: Undoing, running: str, outcome: str = "") -> None:
    """Report the end that the job had come to, and what has become of it."""
    rollback = undoing.rollback
    outcome = outcome or (FAILED if rollback.failed else DONE)
    core.log.info(
        "{job_id}: rollback {outcome}; version {version!r} runs",
        job_id=undoing.job.job_id,
        outcome=outcome,
        version=running,
    )
    if rollback.state is None:
        inputs._clean_up()
        return
    report = Report(rollback.state, rollback.message, {**rollback.facts, "running": running})
    inputs._finish(_with_outcome(report, outcome))


def _with_outcome(report: Report, outcome: str) -> Report:
    return replace(report, facts={**report.facts, "rollback": outcome})


def was_rolling_back(execution: JobExecution) -> bool:
    """Whether AWS knows that a rollback was begun."""
    in_progress = execution.status is Status.IN_PROGRESS
    return in_progress and execution.state == State.ROLLBACK_START.value


def lost(execution: JobExecution) -> Report:
    """The end of a job whose rollback was begun, by what AWS knows: the record is lost. A second
    rollback could take back what the first one has restored."""
    name, _, message = execution.details.get("message", "").partition(_SEPARATOR)
    failures = {state.value: state for state in State if state.status is Status.FAILED}
    state = failures.get(name, State.INSTALLATION_HOOK_FAILED)
    return _with_outcome(Report(state, message or name), UNKNOWN)

"""Finding the job: the list of pending executions, and their descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from upparat.job import (
    ExecutionKey,
    Hook,
    InvalidDocument,
    Job,
    JobExecution,
    JobExecutionSummary,
    Report,
    State,
    Status,
    parse_document,
)
from upparat.ports import Memory
from upparat.snapshots import EndedJob

from .ending import end
from .model import BY_OTHERS, FULL_LIST, OTHERS, Aftermath, Core, Inputs, Selection
from .restarts import going_down, restarted
from .rollback import begun, may_take_back, was_rolling_back
from .states import fetch_jobs, monitor, select_job, verify_job, wind_down

VERSION_BEGUN = 2
"""The least version of an execution that has begun. AWS queues it with 1, and each update adds 1.
A new execution of the same job has 1. So a report that expects this version does not end it."""


@monitor.upon(Inputs.changed).to(fetch_jobs)
@fetch_jobs.upon(Inputs.changed).loop()
def fetch(inputs: Inputs, core: Core) -> None:
    core.record.catch_up()
    core.jobs.fetch()


@select_job.upon(Inputs._fetch).to(fetch_jobs)
def start_over(inputs: Inputs, core: Core, selection: Selection) -> None:
    core.jobs.fetch()


@fetch_jobs.upon(Inputs.pending).loop()
def on_pending(
    inputs: Inputs,
    core: Core,
    in_progress: Sequence[JobExecutionSummary],
    queued: Sequence[JobExecutionSummary],
) -> None:
    listed = [*in_progress, *queued]
    core.not_ours &= {summary.key for summary in listed}
    left = [summary for summary in listed if _maybe_ours(core, summary.key)]
    if core.memory is not None and core.memory.key not in {each.key for each in left}:
        left = _with_remembered(core.memory.key, left)
    full = len(listed) >= FULL_LIST
    if left:
        inputs._select(Selection(left, full=full))
    else:
        _mind_crowd(core, full=full)
        inputs._wait()


def _mind_crowd(core: Core, *, full: bool) -> None:
    """Warn once of a list that is full of the jobs of others: ours may stand behind them."""
    if full and not core.crowded_out:
        core.log.warn(
            "AWS lists {count} jobs or more, none of which is for this agent. Jobs behind them are "
            "not listed until some of these end",
            count=FULL_LIST,
        )
    core.crowded_out = full


fetch_jobs.upon(Inputs._wait).to(monitor).returns(None)
fetch_jobs.upon(Inputs._select).to(select_job).returns(None)
select_job.upon(Inputs._wait).to(monitor).returns(None)
select_job.upon(Inputs._verify).to(verify_job).returns(None)
select_job.upon(Inputs._abandon).to(wind_down).returns(None)


@select_job.upon(Inputs._look).loop()
def look_at_next(inputs: Inputs, core: Core, selection: Selection) -> None:
    if summary := selection.next:
        core.jobs.describe(summary.key.job_id)
    elif selection.in_progress:
        _continue_one(inputs, core, selection.in_progress)
    elif selection.outdated:
        inputs._fetch()
    else:
        _mind_crowd(core, full=selection.full)
        inputs._wait()


@select_job.upon(Inputs.described).loop()
def on_described(inputs: Inputs, core: Core, selection: Selection, execution: JobExecution) -> None:
    if not _is_next(selection, execution.job_id):
        return
    listed_as = selection.left.pop(0).status
    if _has_ended(core, execution.job_id, execution) and _leaves(inputs, core, execution):
        return
    if not execution.ours:
        core.not_ours.add(execution.key)
    elif execution.status is Status.IN_PROGRESS and _maybe_ours(core, execution.key):
        selection.in_progress.append(execution)
    elif execution.status is listed_as is Status.QUEUED and _maybe_ours(core, execution.key):
        _take(inputs, core, execution)
        return
    inputs._look()


@select_job.upon(Inputs.describe_failed).loop()
def on_describe_failed(
    inputs: Inputs, core: Core, selection: Selection, job_id: str, ended: bool
) -> None:
    if _is_next(selection, job_id):
        selection.left.pop(0)
        if not (ended and _has_ended(core, job_id) and _leaves(inputs, core)):
            inputs._look()


@select_job.upon(Inputs.changed).loop()
def outdate(inputs: Inputs, core: Core, selection: Selection) -> None:
    selection.outdated = True


def _maybe_ours(core: Core, key: ExecutionKey) -> bool:
    """Whether the execution can be ours: not known as somebody else's, and not ended by us.

    AWS may list an execution for a moment after the update that has ended it.
    """
    return (
        key not in core.not_ours
        and key not in core.ended
        and (key.local or key.job_id.startswith(core.policy.job_id_prefix))
    )


def _with_remembered(
    key: ExecutionKey, left: Sequence[JobExecutionSummary]
) -> list[JobExecutionSummary]:
    """Put the execution that the device remembers first: one that is not listed may not have ended.

    The description of its job then answers for another execution of that job in progress as well.
    """
    others = [
        each for each in left if each.status is Status.QUEUED or each.key.job_id != key.job_id
    ]
    return [JobExecutionSummary(key, Status.IN_PROGRESS), *others]


def _has_ended(core: Core, job_id: str, execution: JobExecution | None = None) -> bool:
    """Whether the execution that the device remembers has ended while the agent was away.

    :param execution: the job's execution in AWS now; ``None`` if AWS has none.
    """
    memory = core.memory
    if memory is None or memory.key.job_id != job_id:
        return False
    return execution is None or execution.status.ended or execution.key != memory.key


def _leaves(inputs: Inputs, core: Core, execution: JobExecution | None = None) -> bool:
    """Drop the memory of an update that is over.

    Returns ``True`` if its restart hook may be taking the device down, or the owner's hooks have to
    know of its end: then the selection is left, and begins anew once that is done.
    """
    memory = core.memory
    if memory is None:
        return False
    core.log.info("{job_id}: it has ended meanwhile", job_id=memory.key.job_id)
    job = _ended_job(memory, execution)
    end = _told_end(memory, execution, job.version)
    core.on_ended(end or EndedJob(memory.key, "", "", OTHERS, "it ended while the agent was away"))
    core.replaced = memory.replaced
    if end is not None and end.status == Status.SUCCEEDED.value:
        core.record.confirm(core.record.installs(memory.key))
    aftermath = _aftermath(core, memory, job, end)
    if aftermath.restarting or aftermath.undo or Hook.CLEANUP in core.policy.hooks:
        inputs._abandon(aftermath)
        return True
    if execution is not None and execution.key == memory.key:
        core.on_left(execution)
    core.downloads.discard(memory.key)
    core.record.clear()
    core.memory = None
    return False


def _aftermath(core: Core, memory: Memory, job: Job, told: EndedJob | None) -> Aftermath:
    """What is left to do for an update that has ended while the agent was away.

    :param told: the end that an earlier agent has told.
    """
    if told is not None:
        return Aftermath(memory.key, going_down(memory), job, told=told)
    rollback = memory.rollback
    unconfirmed = memory.restart_accepted and not memory.verified
    undo = rollback is not None or (unconfirmed and may_take_back(core, memory.key))
    if rollback is not None:
        rollback = replace(rollback, state=None, message=BY_OTHERS, facts={})
    restarting = rollback is None and going_down(memory)
    return Aftermath(memory.key, restarting, job, undo, rollback)


def _told_end(memory: Memory, execution: JobExecution | None, version: str) -> EndedJob | None:
    """Return the end that an earlier agent has told when all was done, and could not forget: its
    disk was read-only. ``None`` if others have ended the execution, who do so in other ways."""
    if (
        execution is None
        or execution.key not in (memory.key, ExecutionKey.of_job(memory.key.job_id))
        or execution.status not in (Status.SUCCEEDED, Status.FAILED)
    ):
        return None
    message = execution.details.get("message", "")
    status = execution.status.value
    return EndedJob(memory.key, version, status, execution.state, message, memory.replaced)


def _is_half_way(core: Core, memory: Memory) -> bool:
    """Whether the update has begun to change the device: AWS has it in progress then."""
    return memory.restart_accepted or begun(core, memory.key) or _must_end(memory)


def _must_end(memory: Memory) -> bool:
    """Whether another job must wait for what is under way: a restart, or a rollback."""
    return going_down(memory) or memory.rollback is not None


def _displaced(memory: Memory) -> Aftermath:
    """What is left to do for an update that gives way to another job. Its rollback comes to its
    end first, and AWS hears of that end. A device that is half taken back is no place for an
    installation. And nobody has said that the update is over."""
    if memory.rollback is None:
        return Aftermath(memory.key, restarting=True)
    job = _remembered_job(memory, Status.IN_PROGRESS, VERSION_BEGUN)
    return Aftermath(memory.key, False, job, undo=True, rollback=memory.rollback)


def _ended_job(memory: Memory, execution: JobExecution | None) -> Job:
    """Return the job of an ended execution, from its document or from memory."""
    if execution is not None and execution.key == memory.key:
        with suppress(InvalidDocument):
            return parse_document(execution, installed=True)
    return _remembered_job(memory, Status.CANCELED, 0)


def _remembered_job(memory: Memory, status: Status, version_number: int) -> Job:
    """Return what the device still knows of a job whose document is gone."""
    version = memory.rollback.version if memory.rollback else memory.version
    return Job(JobExecution(memory.key, status, version_number), version, file="")


def _is_next(selection: Selection, job_id: str) -> bool:
    return bool(selection.left) and selection.left[0].key.job_id == job_id


def _is_taken_back(core: Core, execution: JobExecution) -> bool:
    memory = core.memory
    remembered = memory is not None and memory.key == execution.key and memory.rollback is not None
    return remembered or was_rolling_back(execution)


def _parse(core: Core, execution: JobExecution) -> Job:
    """Read the document; of a job whose file is not needed any more, only what still matters.

    :raises InvalidDocument: if the job cannot be begun.
    """
    installed = restarted(core, execution) or _is_taken_back(core, execution)
    try:
        return parse_document(execution, installed=installed)
    except InvalidDocument:
        if not begun(core, execution.key):
            raise
        return parse_document(execution, installed=True)  # AWS is asked for the file once more


def _continue_one(inputs: Inputs, core: Core, executions: Sequence[JobExecution]) -> None:
    """Go on with our job in progress; of several, with the one that the device remembers."""
    if len(executions) == 1:
        _take(inputs, core, executions[0])
        return
    remembered = core.memory.key if core.memory else None
    job_ids = ", ".join(execution.job_id for execution in executions)
    report = Report(
        State.ERROR_MULTIPLE_IN_PROGRESS,
        f"Invalid: More than one job is IN PROGRESS: {job_ids}",
    )
    core.log.error("More than one job is in progress: {job_ids}", job_ids=job_ids)
    for execution in executions:
        if execution.key != remembered:
            end(core, execution, report)
    inputs._fetch()


def _take(inputs: Inputs, core: Core, execution: JobExecution) -> None:
    """Work on this execution, or reject it because its document can never work."""
    memory = core.memory
    if memory is not None and memory.key != execution.key and _is_half_way(core, memory):
        core.log.warn(
            "{job_id}: AWS does not describe it; another job is next", job_id=memory.key.job_id
        )
        if memory.rollback is None:
            core.record.note_left(memory.key)
        if _must_end(memory):
            core.replaced = memory.replaced
            inputs._abandon(_displaced(memory))
            return
    try:
        job = _parse(core, execution)
    except InvalidDocument as invalid:
        end(core, execution, Report(State.INVALID_JOB_DOCUMENT, str(invalid)))
        inputs._fetch()
    else:
        inputs._verify(job)

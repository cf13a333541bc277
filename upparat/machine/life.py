"""The table of the machine: the work that starts with each state, and where each input leads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from automat import TypeMachineBuilder

from upparat.job import (
    Downgrades,
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
from upparat.ports import STREAM, Installation, Memory, Stage
from upparat.snapshots import EndedJob, WaitKind
from upparat.version import older

from .model import (
    FULL_LIST,
    Aftermath,
    Artifact,
    Check,
    Core,
    Downloading,
    Fetching,
    Inputs,
    Pause,
    Restart,
    Selection,
    Work,
)

builder = TypeMachineBuilder(Inputs, Core)

NOTHING: Mapping[str, str] = MappingProxyType({})
OTHERS = "ended_by_others"
"""The state of a job that others have ended; the agent reports nothing then."""

NO_URL = "AWS gives no fresh URL for the file"

MAX_URL_REQUESTS = 60
"""Requests in a row for a fresh URL until the download fails. Other jobs wait meanwhile."""

GOING_DOWN = Pause(WaitKind.RESTART_GRACE, "the device may be going down")

LINGER_POLL = 1.0
"""Seconds between two looks, at the least, at a restart hook that an earlier agent has left."""


# --- entering a state starts its work ---------------------------------------------------------


def look(inputs: Inputs, core: Core, selection: Selection) -> Selection:
    inputs._look()
    return selection


def verify(inputs: Inputs, core: Core, job: Job) -> Work:
    core.replaced = core.memory.replaced if core.memory and core.memory.key == job.key else ""
    core.job = job
    core.jobs.follow(job.execution)
    if _restarted(core, job.execution):
        inputs._check(_check_after_start(core, job))
        return Work(job)
    core.record.working(job.key)
    asked = _maybe_installed(job) or not _may_downgrade(core, job)
    if asked and Hook.VERSION in core.policy.hooks:
        core.hooks.run(Hook.VERSION, job)
    else:
        inputs._download(job)
    return Work(job)


def prepare_download(inputs: Inputs, core: Core, job: Job) -> Downloading:
    if Hook.DOWNLOAD in core.policy.hooks and not job.force:
        core.hooks.run(Hook.DOWNLOAD, job)
    else:
        inputs.download_allowed()
    return Downloading(job)


def install_file(inputs: Inputs, core: Core, artifact: Artifact) -> Artifact:
    if Hook.INSTALL in core.policy.hooks:
        _note_installation(core, artifact.job, Stage.INSTALLING)
        core.jobs.report(artifact.job.execution, Report(State.INSTALLATION_START))
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


def check_version(inputs: Inputs, core: Core, check: Check) -> Check:
    # A version hook may already name what was installed, before the device runs it.
    may_ask = check.restart not in (Restart.NEVER_BEGUN, Restart.WAITING)
    if may_ask and Hook.VERSION in core.policy.hooks:
        core.hooks.run(Hook.VERSION, check.job)
    elif check.restart is Restart.WAITING:
        inputs._restart(
            check.job
        )  # not one of the restart_attempts: the hook has restarted nothing
    elif check.restart in (Restart.NEVER_BEGUN, Restart.UNFINISHED):
        _restart_again(inputs, core, check)
    else:
        inputs._finish(Report(State.COMPLETE_NO_VERSION_CHECK))
    return check


def release_hooks(inputs: Inputs, core: Core, key: ExecutionKey, restarting: bool) -> Aftermath:
    core.jobs.unfollow()
    core.timer.cancel()
    core.downloads.stop()
    core.job = None
    core.memory = None
    core.hooks.release()
    return Aftermath(key, restarting)


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
wind_down = builder.state("wind_down", release_hooks)
stopped = builder.state("stopped")

WORKING = (verify_job, download, install, restart, verify_installation)
"""The states that have a job in hand."""


# --- finding the job --------------------------------------------------------------------------


@idle.upon(Inputs.start).to(fetch_jobs)
def begin(inputs: Inputs, core: Core, memory: Memory | None) -> None:
    core.memory = memory
    core.jobs.fetch()


@monitor.upon(Inputs.changed).to(fetch_jobs)
@fetch_jobs.upon(Inputs.changed).loop()
def fetch(inputs: Inputs, core: Core) -> None:
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
    if _has_ended(core, execution.job_id, execution) and _leaves(inputs, core):
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
        and key.job_id.startswith(core.policy.job_id_prefix)
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


def _leaves(inputs: Inputs, core: Core) -> bool:
    """Drop the memory of an update that is over.

    Returns ``True`` if its restart hook may be taking the device down: then the selection is left,
    and begins anew once that has had its time.
    """
    memory = core.memory
    if memory is None:
        return False
    core.log.info("{job_id}: it has ended meanwhile", job_id=memory.key.job_id)
    core.on_ended(EndedJob(memory.key, "", "", OTHERS, "it ended while the agent was away"))
    if _going_down(memory):
        inputs._abandon(memory.key, restarting=True)
        return True
    core.downloads.discard(memory.key)
    core.record.clear()
    core.memory = None
    return False


def _going_down(memory: Memory) -> bool:
    """Whether a restart hook may be about to take the device down."""
    return memory.same_boot and memory.restart_attempts > 0 and not memory.restart_waiting


def _is_next(selection: Selection, job_id: str) -> bool:
    return bool(selection.left) and selection.left[0].key.job_id == job_id


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
            _end(core, execution, report)
    inputs._fetch()


def _take(inputs: Inputs, core: Core, execution: JobExecution) -> None:
    """Work on this execution, or reject it because its document can never work."""
    memory = core.memory
    if memory is not None and _going_down(memory) and memory.key != execution.key:
        core.log.warn(
            "{job_id}: AWS does not describe it; another job is next", job_id=memory.key.job_id
        )
        inputs._abandon(memory.key, restarting=True)
        return
    try:
        job = parse_document(execution, installed=_restarted(core, execution))
    except InvalidDocument as invalid:
        _end(core, execution, Report(State.INVALID_JOB_DOCUMENT, str(invalid)))
        inputs._fetch()
    else:
        inputs._verify(job)


def _restarted(core: Core, execution: JobExecution) -> bool:
    """Whether this job had reached its restart, by the fleet's memory or the device's."""
    memory = core.memory
    remembered = memory is not None and memory.key == execution.key and memory.restart_accepted
    return remembered or (
        execution.status is Status.IN_PROGRESS and execution.state == State.REBOOT_START.value
    )


def _check_after_start(core: Core, job: Job) -> Check:
    """After a reboot the version is final; otherwise ask again until ``restart_timeout``."""
    memory, now = core.memory, core.timer.now()
    if memory is None or memory.key != job.key:
        return _check_without_memory(core, job)
    restart = _how_far(memory)
    final_version = not memory.same_boot or memory.verified or restart is Restart.NEVER_BEGUN
    until = now if final_version else now + core.policy.restart_timeout
    return Check(job, restart, until, memory.verified if memory.same_boot else None)


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


# --- is it needed? ----------------------------------------------------------------------------

verify_job.upon(Inputs._download).to(download).returns(None)
verify_job.upon(Inputs._restart).to(restart).returns(None)
verify_job.upon(Inputs._check).to(verify_installation).returns(None)


def _maybe_installed(job: Job) -> bool:
    """Whether a version that runs already ends the job: not once the job has begun."""
    return not job.force and job.execution.status is Status.QUEUED


def _may_downgrade(core: Core, job: Job) -> bool:
    allowed = core.policy.allow_downgrade
    return allowed is Downgrades.YES or (allowed is Downgrades.FORCED and job.force)


@verify_job.upon(Inputs.version_known).loop()
def compare(inputs: Inputs, core: Core, work: Work, version: str) -> None:
    job = work.job
    core.replaced = version
    core.record.note_replaced(version)
    if version == job.version and _maybe_installed(job):
        _confirm(inputs, core, job)
    elif not version and not _may_downgrade(core, job):
        message = "The version that runs is not known: it may be newer"
        inputs._finish(Report(State.DOWNGRADE_REFUSED, message))
    elif older(job.version, version) and not _may_downgrade(core, job):
        message = f"Version '{job.version}' is older than '{version}', which runs"
        inputs._finish(Report(State.DOWNGRADE_REFUSED, message))
    else:
        core.log.info(
            "{job_id}: version {old!r} is to become {new!r}",
            job_id=job.job_id,
            old=version,
            new=job.version,
        )
        inputs._download(job)


def _confirm(inputs: Inputs, core: Core, job: Job) -> None:
    """The version hook names the job's version. Take it for installed, unless an earlier job of the
    agent has left it half-way: then go on from there."""
    installation = core.record.unconfirmed(job.version)
    if installation is None:
        inputs._finish(Report(State.VERSION_ALREADY_INSTALLED))
        return
    core.log.info(
        "{job_id}: {version} was left {stage}, and never confirmed: going on from there",
        job_id=job.job_id,
        version=installation.version,
        stage=installation.stage.value,
    )
    if installation.stage is Stage.RESTARTED:
        inputs._check(Check(job, Restart.DONE, until=core.timer.now()))
    elif installation.stage is Stage.INSTALLED:
        inputs._restart(job)
    else:
        inputs._download(job)


def _note_installation(core: Core, job: Job, stage: Stage) -> None:
    core.record.note_installation(Installation(job.version, stage))


# --- download ---------------------------------------------------------------------------------


@download.upon(Inputs.download_allowed).loop()
def start_transfer(inputs: Inputs, core: Core, transfer: Downloading) -> None:
    transfer.running = True
    core.jobs.report(transfer.job.execution, Report(State.DOWNLOAD_START))
    core.downloads.start(transfer.job)


def refresh_url(inputs: Inputs, core: Core, work: Work, reason: str) -> None:
    core.jobs.report(work.job.execution, Report(State.DOWNLOAD_INTERRUPT, reason))
    core.jobs.describe(work.job.job_id)


def resume_transfer(inputs: Inputs, core: Core, work: Fetching, execution: JobExecution) -> None:
    _resume(inputs, core, work, execution)


def _resume(inputs: Inputs, core: Core, work: Fetching, execution: JobExecution) -> bool:
    """Go on with the fresh URL. Returns ``False`` if there is none: the job has failed."""
    if execution.key != work.job.key or execution.status.ended:
        _ended_by_others(inputs, core, work, restarting=False)
        return True
    try:
        work.url_requests = 0
        core.downloads.start(parse_document(execution))
    except InvalidDocument as invalid:
        inputs._finish(Report(State.DOWNLOAD_FAILED, str(invalid)))
        return False
    return True


def miss_url(inputs: Inputs, core: Core, work: Fetching, job_id: str, ended: bool) -> None:
    if ended:
        _ended_by_others(inputs, core, work, restarting=False)
    elif _may_ask_again(core, work):
        core.wait_for(Pause(WaitKind.FRESH_URL, NO_URL), core.policy.retry_interval)
    else:
        inputs._finish(Report(State.DOWNLOAD_FAILED, NO_URL))


def _may_ask_again(core: Core, work: Fetching) -> bool:
    work.url_requests += 1
    return work.url_requests < MAX_URL_REQUESTS


def request_url(inputs: Inputs, core: Core, work: Fetching) -> None:
    core.jobs.describe(work.job.job_id)


@download.upon(Inputs.downloaded).loop()
def have_file(inputs: Inputs, core: Core, transfer: Downloading, path: str) -> None:
    inputs._install(Artifact(transfer.job, path))


@download.upon(Inputs.stream_ready).loop()
def have_stream(inputs: Inputs, core: Core, transfer: Downloading) -> None:
    inputs._install(Artifact(transfer.job, STREAM))


def report_download(
    inputs: Inputs, core: Core, work: Work, downloaded: int, total: int | None
) -> None:
    figures = {"downloaded_bytes": downloaded}
    if total is not None:
        figures["total_bytes"] = total
    core.jobs.report(work.job.execution, Report(State.DOWNLOAD_PROGRESS, json.dumps(figures)))


def fail_download(inputs: Inputs, core: Core, work: Work, state: State, message: str) -> None:
    inputs._finish(Report(state, message))


# The install hook may read the file while it is downloaded.
download.upon(Inputs.url_expired).loop()(refresh_url)
download.upon(Inputs.described).loop()(resume_transfer)
download.upon(Inputs.describe_failed).loop()(miss_url)
download.upon(Inputs.timeout).loop()(request_url)
download.upon(Inputs.progressed).loop()(report_download)
install.upon(Inputs.progressed).loop()(report_download)
download.upon(Inputs.download_failed).loop()(fail_download)
install.upon(Inputs.download_failed).loop()(fail_download)


download.upon(Inputs._install).to(install).returns(None)


# --- install ----------------------------------------------------------------------------------


@install.upon(Inputs.install_output).loop()
def report_installation(inputs: Inputs, core: Core, artifact: Artifact, line: str) -> None:
    core.jobs.report(artifact.job.execution, Report(State.INSTALLATION_PROGRESS, line))


@install.upon(Inputs.url_expired).loop()
def renew_stream(inputs: Inputs, core: Core, artifact: Artifact, reason: str) -> None:
    artifact.renewing = True
    refresh_url(inputs, core, artifact, reason)


@install.upon(Inputs.described).loop()
def resume_stream(inputs: Inputs, core: Core, artifact: Artifact, execution: JobExecution) -> None:
    if artifact.renewing:
        artifact.renewing = False
        if not _resume(inputs, core, artifact, execution):
            core.hooks.release()  # the install hook waits for the rest of the file


@install.upon(Inputs.describe_failed).loop()
def give_up_stream(
    inputs: Inputs, core: Core, artifact: Artifact, job_id: str, ended: bool
) -> None:
    if artifact.renewing:
        miss_url(inputs, core, artifact, job_id, ended)
        if artifact.url_requests >= MAX_URL_REQUESTS:
            core.hooks.release()  # the install hook waits for the rest of the file


@install.upon(Inputs.timeout).loop()
def request_url_again(inputs: Inputs, core: Core, artifact: Artifact) -> None:
    if artifact.renewing:
        request_url(inputs, core, artifact)


@install.upon(Inputs.installed).loop()
def have_installed(inputs: Inputs, core: Core, artifact: Artifact) -> None:
    _note_installation(core, artifact.job, Stage.INSTALLED)
    inputs._restart(artifact.job)


install.upon(Inputs._restart).to(restart).returns(None)


# --- restart ----------------------------------------------------------------------------------


@restart.upon(Inputs.delivered).loop()
def run_restart(inputs: Inputs, core: Core, work: Work, state: State) -> None:
    if state is not State.REBOOT_START:
        return
    if core.record.restarting(work.job.key):
        core.hooks.run(Hook.RESTART, work.job)
    else:
        # Restarts that are not counted could go on for ever.
        inputs._finish(Report(State.RESTART_HOOK_FAILED, "The record cannot be written"))


@restart.upon(Inputs.undeliverable).loop()
def give_restart_up(inputs: Inputs, core: Core, work: Work, state: State) -> None:
    """Restart nothing unannounced: the whole update would run again after the restart."""
    if state is State.REBOOT_START:
        inputs._finish(Report(State.RESTART_HOOK_FAILED, "AWS does not accept reboot_start"))


@restart.upon(Inputs.restarted).loop()
def give_grace(inputs: Inputs, core: Core, work: Work) -> None:
    core.record.restarted(work.job.key)
    core.wait_for(GOING_DOWN, core.policy.restart_grace)


@restart.upon(Inputs.timeout).loop()
def still_alive(inputs: Inputs, core: Core, work: Work) -> None:
    patience = core.policy.restart_timeout - core.policy.restart_grace
    inputs._check(Check(work.job, Restart.LIVED_THROUGH, until=core.timer.now() + patience))


restart.upon(Inputs._check).to(verify_installation).returns(None)


# --- verify the installation ------------------------------------------------------------------


@verify_installation.upon(Inputs.version_known).loop()
def compare_installed(inputs: Inputs, core: Core, check: Check, version: str) -> None:
    if version == check.job.version and check.verified:
        inputs._finish(Report(check.verified))
    elif version == check.job.version:
        _check_ready(inputs, core, check)
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
            _restart_again(inputs, core, check)
        case Restart.CUT_SHORT if _may_restart(core):
            inputs._restart(check.job)
        case _ if left > 0:
            core.wait_for(_old_version(check, version), min(core.policy.retry_interval, left))
        case _:
            message = f"Expected version '{check.job.version}', got '{version}'"
            inputs._finish(Report(State.VERSION_MISMATCH, message))


def _old_version(check: Check, version: str) -> Pause:
    why = f"the version is {version!r}, not {check.job.version!r}"
    return Pause(WaitKind.RESTART_TIMEOUT, why, check.until)


def _check_ready(inputs: Inputs, core: Core, check: Check) -> None:
    if Hook.READY in core.policy.hooks:
        _note_installation(core, check.job, Stage.RESTARTED)
        core.hooks.run(Hook.READY, check.job)
    else:
        inputs._finish(_completed(check, State.COMPLETE_NO_READY_CHECK))


def _restart_again(inputs: Inputs, core: Core, check: Check) -> None:
    """Restart at least once, but not for ever: the restart hook may be what kills the agent."""
    if _may_restart(core):
        inputs._restart(check.job)
    else:
        attempts = core.policy.restart_attempts
        message = f"The agent was stopped in each of {attempts} runs of the restart hook"
        inputs._finish(Report(State.RESTART_HOOK_FAILED, message))


def _may_restart(core: Core) -> bool:
    return core.memory is None or core.memory.restart_attempts < core.policy.restart_attempts


verify_installation.upon(Inputs._restart).to(restart).returns(None)


@verify_installation.upon(Inputs.timeout).loop()
def ask_again(inputs: Inputs, core: Core, check: Check) -> None:
    core.hooks.run(Hook.VERSION, check.job)


@verify_installation.upon(Inputs.ready).loop()
def have_ready(inputs: Inputs, core: Core, check: Check) -> None:
    inputs._finish(_completed(check, State.COMPLETE_READY))


def _completed(check: Check, after_start: State) -> Report:
    soft = check.restart is Restart.LIVED_THROUGH
    return Report(State.COMPLETE_SOFT_RESTART if soft else after_start)


# --- the end of a job, in whatever state ------------------------------------------------------


def finish(inputs: Inputs, core: Core, work: Work, report: Report) -> None:
    core.job = None
    core.memory = None
    if report.confirms:
        core.record.confirm(work.job.version)
    _end(core, work.job.execution, report, versions={"from": core.replaced, "to": work.job.version})
    core.hooks.forget_restart()  # before the record forgets the job that it belongs to
    core.record.clear()
    if report.discards:
        core.downloads.discard(work.job.key)
    core.jobs.fetch()


def _end(
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
    _ended_by_others(inputs, core, work, restarting=False)


def cancel_restart(inputs: Inputs, core: Core, work: Work) -> None:
    _ended_by_others(inputs, core, work, restarting=True)


def _ended_by_others(inputs: Inputs, core: Core, work: Work, *, restarting: bool) -> None:
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

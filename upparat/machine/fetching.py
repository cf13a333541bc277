"""Whether the file of a job is needed, and its download."""

from __future__ import annotations

import json

from upparat.job import Hook, InvalidDocument, Job, JobExecution, Report, State, parse_document
from upparat.ports import STREAM, Stage
from upparat.snapshots import WaitKind
from upparat.version import older

from .deciding import begin_download, begin_install
from .ending import ended_by_others
from .model import Artifact, Check, Core, Downloading, Fetching, Inputs, Pause, Restart, Work
from .restarts import begin_restart
from .rollback import fail_early, fail_installation
from .states import download, install, restart, verify_installation, verify_job
from .versions import may_downgrade, maybe_installed

NO_URL = "AWS gives no fresh URL for the file"

MAX_URL_REQUESTS = 60
"""Requests in a row for a fresh URL until the download fails. Other jobs wait meanwhile."""


# --- is it needed? ----------------------------------------------------------------------------

verify_job.upon(Inputs._download).to(download).returns(None)
verify_job.upon(Inputs._restart).to(restart).returns(None)
verify_job.upon(Inputs._check).to(verify_installation).returns(None)


@verify_job.upon(Inputs.version_known).loop()
def compare(inputs: Inputs, core: Core, work: Work, version: str) -> None:
    job = work.job
    core.replaced = version
    core.record.note_replaced(version)
    if version == job.version and maybe_installed(job):
        _confirm(inputs, core, job)
    elif not version and not may_downgrade(core, job):
        message = "The version that runs is not known: it may be newer"
        fail_early(inputs, core, job, Report(State.DOWNGRADE_REFUSED, message))
    elif older(job.version, version) and not may_downgrade(core, job):
        message = f"Version '{job.version}' is older than '{version}', which runs"
        fail_early(inputs, core, job, Report(State.DOWNGRADE_REFUSED, message))
    else:
        core.log.info(
            "{job_id}: version {old!r} is to become {new!r}",
            job_id=job.job_id,
            old=version,
            new=job.version,
        )
        begin_download(inputs, core, job)


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
        begin_restart(inputs, core, job)
    else:
        begin_download(inputs, core, job)


# --- download ---------------------------------------------------------------------------------


@download.upon(Inputs.compatible).loop()
def ask_to_download(inputs: Inputs, core: Core, transfer: Downloading) -> None:
    if Hook.DOWNLOAD in core.policy.hooks and not transfer.job.force:
        core.hooks.run(Hook.DOWNLOAD, transfer.job)
    else:
        inputs.download_allowed()


@download.upon(Inputs.download_allowed).loop()
def start_transfer(inputs: Inputs, core: Core, transfer: Downloading) -> None:
    transfer.running = True
    core.jobs.report(transfer.job.execution, Report(State.DOWNLOAD_START))
    if transfer.job.file:
        core.downloads.start(transfer.job)
    else:  # AWS had no URL for it
        core.jobs.describe(transfer.job.job_id)


def refresh_url(inputs: Inputs, core: Core, work: Work, reason: str) -> None:
    core.jobs.report(work.job.execution, Report(State.DOWNLOAD_INTERRUPT, reason))
    core.jobs.describe(work.job.job_id)


def resume_transfer(inputs: Inputs, core: Core, work: Fetching, execution: JobExecution) -> None:
    resume(inputs, core, work, execution)


def resume(inputs: Inputs, core: Core, work: Fetching, execution: JobExecution) -> bool:
    """Go on with the fresh URL. Returns ``False`` if there is none: the job has failed."""
    if execution.key != work.job.key or execution.status.ended:
        ended_by_others(inputs, core, work, restarting=False)
        return True
    try:
        job = parse_document(execution)
    except InvalidDocument as invalid:
        give_up_download(inputs, core, work, State.DOWNLOAD_FAILED, str(invalid))
        return False
    work.url_requests = 0
    if not work.job.file:
        work.job = core.job = job
    core.downloads.start(job)
    return True


def miss_url(inputs: Inputs, core: Core, work: Fetching, job_id: str, ended: bool) -> None:
    if ended:
        ended_by_others(inputs, core, work, restarting=False)
    elif _may_ask_again(core, work):
        core.wait_for(Pause(WaitKind.FRESH_URL, NO_URL), core.policy.retry_interval)
    else:
        give_up_download(inputs, core, work, State.DOWNLOAD_FAILED, NO_URL)


def _may_ask_again(core: Core, work: Fetching) -> bool:
    work.url_requests += 1
    return work.url_requests < MAX_URL_REQUESTS


def request_url(inputs: Inputs, core: Core, work: Fetching) -> None:
    core.jobs.describe(work.job.job_id)


@download.upon(Inputs.downloaded).loop()
def have_file(inputs: Inputs, core: Core, transfer: Downloading, path: str) -> None:
    begin_install(inputs, core, transfer.job, path)


@download.upon(Inputs.stream_ready).loop()
def have_stream(inputs: Inputs, core: Core, transfer: Downloading, place: str = STREAM) -> None:
    begin_install(inputs, core, transfer.job, place)


def report_download(
    inputs: Inputs, core: Core, work: Work, downloaded: int, total: int | None, reused: int = 0
) -> None:
    figures = {"downloaded_bytes": downloaded}
    if total is not None:
        figures["total_bytes"] = total
    if reused:
        figures["reused_bytes"] = reused
    core.jobs.report(work.job.execution, Report(State.DOWNLOAD_PROGRESS, json.dumps(figures)))


def give_up_download(inputs: Inputs, core: Core, work: Work, state: State, message: str) -> None:
    report = Report(state, message)
    if isinstance(work, Artifact):  # the install hook has had a part of the file
        fail_installation(inputs, core, work.job, report)
    else:
        fail_early(inputs, core, work.job, report)


# The install hook may read the file while it is downloaded.
download.upon(Inputs.url_expired).loop()(refresh_url)
download.upon(Inputs.described).loop()(resume_transfer)
download.upon(Inputs.describe_failed).loop()(miss_url)
download.upon(Inputs.timeout).loop()(request_url)
download.upon(Inputs.progressed).loop()(report_download)
install.upon(Inputs.progressed).loop()(report_download)
download.upon(Inputs.download_failed).loop()(give_up_download)
install.upon(Inputs.download_failed).loop()(give_up_download)


download.upon(Inputs._install).to(install).returns(None)

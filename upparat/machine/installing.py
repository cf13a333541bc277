"""The installation of a file, and the restart."""

from __future__ import annotations

from upparat.job import Hook, JobExecution, Report, State
from upparat.ports import Stage

from .ending import forget_renewal
from .fetching import MAX_URL_REQUESTS, miss_url, refresh_url, request_url, resume
from .model import Artifact, Check, Core, Inputs, Restart, Work
from .restarts import GOING_DOWN, begin_restart
from .rollback import fail_installation
from .states import install, restart, verify_installation
from .versions import note_installation

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
        if not resume(inputs, core, artifact, execution):
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
    forget_renewal(core, artifact)
    note_installation(core, artifact.job, Stage.INSTALLED)
    begin_restart(inputs, core, artifact.job)


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
        report = Report(State.RESTART_HOOK_FAILED, "The record cannot be written")
        fail_installation(inputs, core, work.job, report)


@restart.upon(Inputs.undeliverable).loop()
def give_restart_up(inputs: Inputs, core: Core, work: Work, state: State) -> None:
    """Restart nothing unannounced: the whole update would run again after the restart."""
    if state is State.REBOOT_START:
        report = Report(State.RESTART_HOOK_FAILED, "AWS does not accept reboot_start")
        fail_installation(inputs, core, work.job, report)


@restart.upon(Inputs.restarted).loop()
def give_grace(inputs: Inputs, core: Core, work: Work) -> None:
    core.record.restarted(work.job.key)
    core.wait_for(GOING_DOWN, core.policy.restart_grace)


@restart.upon(Inputs.timeout).loop()
def still_alive(inputs: Inputs, core: Core, work: Work) -> None:
    patience = core.policy.restart_timeout - core.policy.restart_grace
    inputs._check(Check(work.job, Restart.LIVED_THROUGH, until=core.timer.now() + patience))


restart.upon(Inputs._check).to(verify_installation).returns(None)

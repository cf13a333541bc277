"""A device and its cloud without any I/O but the record: what the model test drives.

The machine and the record are real. The other ports are simple and obey at once or when they are
told to; the cloud is :class:`tests.simulator.store.Store`. Each port checks what must never be.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from pathlib import Path

from tests.simulator.store import Rejected, Store
from upparat.byhand.jobs import InstallJobs
from upparat.byhand.spool import InstallSpool
from upparat.iotjobs.wire import summaries
from upparat.job import (
    ACTION,
    ExecutionKey,
    Hook,
    Job,
    JobExecution,
    JobExecutionSummary,
    Report,
    State,
    Status,
)
from upparat.machine import Core, Inputs, Policy, make_machine
from upparat.ports import STREAM, JobStep
from upparat.storage.record import FileRecord

from .ports import USUAL_HOOKS

DELICATE = (Hook.INSTALL, Hook.RESTART, Hook.ROLLBACK)
STEPS = {
    Hook.DOWNLOAD: JobStep.DOWNLOAD,
    Hook.INSTALL: JobStep.INSTALL,
    Hook.RESTART: JobStep.RESTART,
}


class PowerCut(Exception):
    """The power fails while the agent writes."""


class Device:
    """What outlives the agent: the version that runs, what is installed, files, the clock.

    :param streamed: files go through into the install hook.
    :param undoes: there are hooks to roll back and to clean up.
    :param asks: there is a hook that names the version.
    """

    def __init__(
        self, directory: Path, *, streamed: bool = False, undoes: bool = False, asks: bool = True
    ) -> None:
        self.directory = directory
        self.streamed = streamed
        self.policy_hooks = USUAL_HOOKS | ({Hook.ROLLBACK, Hook.CLEANUP} if undoes else set())
        self.policy_hooks -= set() if asks else {Hook.VERSION}
        self.undoing: set[ExecutionKey] = set()  # a rollback was begun
        self.undone: set[ExecutionKey] = set()  # its rollback hook has come to its end
        self.unclean: set[ExecutionKey] = set()  # its cleanup hook was begun, and has not ended
        self.boot_id = directory / "boot_id"
        self.boots = 0
        self.version = "1.0"
        self.staged = "1.0"
        self.good = self.older_good = "1.0"  # the ready hook has said yes to them
        self.ready = True  # since the last restart
        self.begun: set[ExecutionKey] = set()  # its install hook was begun, and the record knows it
        self.installed: set[ExecutionKey] = set()  # its install hook was begun
        self.displaced: set[ExecutionKey] = set()  # begun, and another one was confirmed since
        self.overtaken: set[ExecutionKey] = set()  # ended, and another one was installed since
        self.unconfirmed: set[str] = set()  # begun to install, and the ready hook has not said yes
        self.fallen_back = False
        self.going_down: ExecutionKey | None = None  # its restart hook has said so a moment ago
        self.files: set[ExecutionKey] = set()
        self.ended: set[ExecutionKey] = set()
        self.by_hand: set[ExecutionKey] = set()
        self.announced_by_hand: set[ExecutionKey] = set()
        self.lingering: Job | None = None
        self.restarts: Counter[ExecutionKey] = Counter()
        self.uncounted: Counter[ExecutionKey] = Counter()  # of them, those that may be repeated
        self.exhausted: set[ExecutionKey] = set()  # restarted as often as it may be
        self.restarted: set[ExecutionKey] = set()
        self.closed: set[JobStep] = set()
        self.paused = False
        self.granted: set[tuple[ExecutionKey, JobStep]] = set()
        self.waited: dict[ExecutionKey, JobStep] = {}
        self.time = 0.0
        self.tick = 0
        self.store = Store("thing", self._now)
        self.reboot()
        self.agent = Agent(self)

    def _now(self) -> float:
        """Two jobs are never queued in the same second."""
        self.tick += 1
        return self.tick

    def reboot(self) -> None:
        self.lingering = None
        self.going_down = None
        self.boots += 1
        self.boot_id.write_text(f"boot-{self.boots}")

    def crash(self, *, reboot: bool = False, linger: bool = False) -> None:
        """Kill the agent with its hooks, but for a restart hook that lingers; start it again."""
        if linger and self.agent.hooks.restarting is not None:
            self.lingering = self.agent.hooks.restarting
        if reboot:
            self.reboot()
        self.agent = Agent(self)

    def switch(self) -> None:
        """Run what is installed."""
        self.version = self.staged
        self.ready = False

    def confirm(self) -> None:
        """The ready hook says yes."""
        if self.version != self.good:
            self.older_good, self.good = self.good, self.version
        self.ready = True
        self.unconfirmed.discard(self.version)

    def fall_back(self) -> None:
        """The boot loader, or the owner, goes back to what has worked before."""
        self.version = self.good if self.version != self.good else self.older_good
        self.good = self.staged = self.version
        self.ready = False
        self.fallen_back = True
        self.crash(reboot=True)

    def stop_lingering(self) -> None:
        """The restart hook of an earlier agent has done its work."""
        if self.lingering is not None:
            self.restarted.add(self.lingering.key)
            self.going_down = self.lingering.key
            self.lingering = None
            self.switch()
            self.agent.hooks.nothing_lingers()

    def agent_ends(self, key: ExecutionKey) -> bool:
        """Whether the execution is over, by the agent or by others."""
        return key in self.ended or key in self.agent.jobs.over or self.over_in_aws(key)

    def over_in_aws(self, key: ExecutionKey) -> bool:
        if key.local:
            return False
        found = [each for each in self.store.executions if each.job_id == key.job_id]
        return not found or found[-1].number != key.number or found[-1].status.ended

    def announced(self, key: ExecutionKey) -> bool:
        """Whether AWS has accepted the report of the restart."""
        return key in self.announced_by_hand or any(
            (each.job_id, each.number) == (key.job_id, key.number)
            and each.details.get("state") == State.REBOOT_START.value
            for each in self.store.updates
        )


class Agent:
    """One life of the agent."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.record = FileRecord(device.directory, device.boot_id, lambda: device.time)
        self.jobs = ModelJobs(self)
        self.installs = ModelInstalls(self)
        self.downloads = ModelDownloads(self)
        self.hooks = ModelHooks(self)
        self.timer = ModelTimer(device)
        self.gate = ModelGate(self)
        self.core = Core(
            jobs=self.installs,
            downloads=self.downloads,
            hooks=self.hooks,
            timer=self.timer,
            record=self.record,
            gate=self.gate,
            policy=Policy(hooks=self.device.policy_hooks),
        )
        self.machine: Inputs = make_machine(self.core)
        self.installs.events = self.machine
        self._start()

    def _start(self) -> None:
        """As the service does it."""
        memory = self.record.load()
        self.installs.load(memory.key if memory else None)
        if memory is not None and memory.key.local:  # in hand, or its success is in doubt again
            self.device.ended.discard(memory.key)
        owed = self.record.owed()
        # A success that could not be delivered is in doubt again.
        alive = {
            ExecutionKey(each.job_id, each.number, each.queued_at)
            for each in self.device.store.executions
            if not each.status.ended
        }
        self.device.ended -= alive - {execution.key for execution, _ in owed}
        if owed and memory is None:
            self._assert_still_true(*owed[-1])
        for execution, report in owed:
            self.core.ended.append(execution.key)
            self.installs.report(execution, report)
            if report.discards:
                self.device.files.discard(execution.key)
        self.device.files &= {memory.key} if memory else set()
        self.machine.start(memory)

    def _assert_still_true(self, execution: JobExecution, report: Report) -> None:
        """The last success that AWS has not got is sent without another look."""
        found = [each for each in self.device.store.executions if each.job_id == execution.job_id]
        if _verified(report) and found and execution.key not in self.device.overtaken:
            wanted = _version(execution_of(found[-1]))
            assert self.device.version == wanted, "a success after the device has fallen back"

    def step(self) -> None:
        """Let one thing that is due happen as it should; without any, time passes."""
        if self.jobs.reports:
            self.jobs.deliver()
        elif self.jobs.wants_list:
            self.jobs.answer_list()
        elif self.jobs.described:
            self.jobs.answer_describe()
        elif self.downloads.job is not None:
            self.downloads.finish()
        elif self.hooks.running is not None:
            self.hooks.finish()
        elif self.hooks.again is not None:
            self.hooks.go_on()
        elif self.device.lingering is not None:
            self.device.stop_lingering()
        elif self.gate.waiting is not None:
            self.gate.permit()
        else:
            self.timer.fire(self)

    def stop(self) -> None:
        """SIGTERM: the last reports still arrive."""
        self.machine.stop()
        self.timer.cancel()
        self.hooks.shut_down()
        while self.jobs.reports:
            self.jobs.deliver()


class ModelJobs:
    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.store = agent.device.store
        self.wants_list = False
        self.described = ""
        self.followed: JobExecution | None = None
        self.reports: deque[tuple[JobExecution, Report]] = deque()
        self.stale: dict[str, JobExecution] = {}
        self.over: set[ExecutionKey] = set()  # by the word of AWS
        self.cuts = False  # the power fails once an end is in the record

    # --- the port ---

    def fetch(self) -> None:
        self.wants_list = True

    def describe(self, job_id: str) -> None:
        self.described = job_id

    def follow(self, execution: JobExecution) -> None:
        self.agent.device.begun &= {execution.key}  # the record knows one execution
        self.followed = execution

    def unfollow(self) -> None:
        self.followed = None

    def report(self, execution: JobExecution, report: Report) -> None:
        self.check(execution, report)
        if report.status.ended:
            self.agent.record.add(execution, report)
            if self._follows(execution.key):
                self.followed = None
                self._end_is_written(execution.key, report)
        self.reports.append((execution, report))

    def _end_is_written(self, key: ExecutionKey, report: Report) -> None:
        device = self.agent.device
        if self.cuts:
            # A version that runs already is compared anew: the job has not been begun.
            begun = report.state is not State.VERSION_ALREADY_INSTALLED
            if begun and Hook.CLEANUP in device.policy_hooks:
                device.unclean.add(key)
            raise PowerCut

    def check(self, execution: JobExecution, report: Report) -> None:
        """What a report says is true."""
        assert execution.ours or execution.document is None  # what was owed has none
        device = self.agent.device
        if _verified(report) and execution.document is not None:
            assert device.version == _version(execution), "a lie"
            assert device.ready, "the ready hook has not said yes since the restart"
            assert device.going_down is None, "told before the device goes down"
        if report.state is State.VERSION_ALREADY_INSTALLED and execution.document is not None:
            assert device.version == _version(execution), "a lie"
            assert device.version not in device.unconfirmed, "nobody has confirmed what runs"
        if report.state.status is Status.FAILED and "rollback" in report.facts:
            self._assert_taken_back(execution.key, report)
        if report.status in (Status.FAILED, Status.REJECTED) and execution.key in device.begun:
            assert "rollback" in report.facts, "begun, and not taken back"
        if report.state is State.VERSION_MISMATCH and execution.document is not None:
            undone = execution.key in device.undoing  # it was so before
            assert undone or device.version != _version(execution), "a lie"
            tried = self.agent.hooks.may_restart_no_more(execution.key)
            known = device.fallen_back or execution.key in device.restarted
            assert tried or known, "given up too early"
        if report.state is State.COMPLETE_NO_VERSION_CHECK and execution.document is not None:
            assert device.going_down is None, "complete before the device goes down"
            device.unconfirmed.discard(str(_version(execution)))  # nobody can confirm it
        if report.state is State.ERROR_MULTIPLE_IN_PROGRESS:
            device.unclean.discard(execution.key)  # nobody knows whether it was worked on
        if report.status.ended:
            device.ended.add(execution.key)

    def _assert_taken_back(self, key: ExecutionKey, report: Report) -> None:
        device, outcome = self.agent.device, report.facts["rollback"]
        told_before = key in device.ended  # as it was then
        if Hook.ROLLBACK not in device.policy_hooks:
            assert outcome == "none"
        elif outcome == "none":
            assert told_before or self.agent.record.displaced(key), "told and not tried"
        elif outcome != "unknown":
            assert key in device.undoing, "told and not tried"
            assert outcome == "failed" or key in device.undone, "told and not done"
            running = report.facts.get("running", "")
            assert told_before or running in (device.version, ""), "another version runs"

    # --- what the test lets happen ---

    def deliver(self) -> None:
        """AWS hears the oldest report, and the agent its answer."""
        if not self.reports:
            return
        execution, report = self.reports.popleft()
        if self._hear(execution, report):
            self._accepted(execution.key, report)
        else:
            self._over(execution.key)

    def lose_answer(self) -> None:
        """AWS hears the oldest report, and its answer is lost: it is sent once more."""
        if self.reports:
            self._hear(*self.reports[0])

    def answer_list(self, *, stale: bool = False) -> None:
        """AWS's list; a stale one still has the executions that this agent has just ended."""
        if not self.wants_list or self.reports:
            return
        self.wants_list = False
        pending = [each for each in self.store.pending() if not each.hidden]
        in_progress = [each.summary() for each in pending if each.status is Status.IN_PROGRESS]
        queued = [each.summary() for each in pending if each.status is Status.QUEUED]
        ended = [
            JobExecutionSummary(each.key, each.status) for each in self.stale.values() if stale
        ]
        self.agent.installs.pending(
            [
                *(each for each in ended if each.status is Status.IN_PROGRESS),
                *summaries(in_progress, Status.IN_PROGRESS),
            ],
            [
                *(each for each in ended if each.status is Status.QUEUED),
                *summaries(queued, Status.QUEUED),
            ],
        )

    def answer_stale_list(self) -> None:
        self.answer_list(stale=True)

    def answer_stale_describe(self) -> None:
        if self.described in self.stale:
            job_id, self.described = self.described, ""
            self.agent.installs.described(self.stale[job_id])

    def cannot_describe(self) -> None:
        """The answer makes no sense."""
        job_id, self.described = self.described, ""
        if job_id:
            self.agent.installs.describe_failed(job_id, False)

    def answer_describe(self) -> None:
        job_id, self.described = self.described, ""
        if not job_id:
            return
        try:
            found = self.store.describe(job_id)
        except Rejected:
            self.agent.installs.describe_failed(job_id, True)
            return
        assert found is not None
        if found.status.ended:
            self.over.add(execution_of(found).key)
        self.agent.installs.described(execution_of(found))

    def look(self) -> None:
        """A notification, a reconnect or a poll."""
        if self.followed is not None:
            key = self.followed.key
            found = [each for each in self.store.executions if each.job_id == key.job_id]
            if not found or found[-1].number != key.number or found[-1].status.ended:
                self._over(key)
        self.agent.installs.changed()

    # --- answers ---

    def _follows(self, key: ExecutionKey) -> bool:
        return self.followed is not None and self.followed.key == key

    def _hear(self, execution: JobExecution, report: Report) -> bool:
        """Whether AWS accepts it; it knows a report that it has heard before by its content."""
        key = execution.key
        newest = [each for each in self.store.executions if each.job_id == key.job_id][-1:]
        mine = bool(newest) and newest[0].number == key.number
        if mine and newest[0].details == report.details and newest[0].status is report.status:
            return True
        if mine and report.status.ended and not newest[0].status.ended:
            self.stale[key.job_id] = execution_of(newest[0])
        try:
            self.store.update(key.job_id, report.status.value, report.details, number=key.number)
        except Rejected:
            return False
        return True

    def _accepted(self, key: ExecutionKey, report: Report) -> None:
        if report.status.ended:
            self.agent.record.remove(key)
        elif self._follows(key):
            self.agent.installs.delivered(report.state)

    def _over(self, key: ExecutionKey) -> None:
        self.reports = deque(each for each in self.reports if each[0].key != key)
        self.agent.record.remove(key)
        if self._follows(key):
            self.followed = None
            self.agent.installs.cancelled()


class ModelInstalls(InstallJobs):
    """The real jobs port, with what people install by hand."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        super().__init__(
            agent.jobs, InstallSpool(agent.device.directory), agent.record, self._now_in_hand
        )

    def _now_in_hand(self) -> ExecutionKey | None:
        core = self.agent.core
        return core.in_hand or (core.memory.key if core.memory else None)

    def order(self, number: int, version: str, *, force: bool) -> None:
        """Somebody hands a file over."""
        device = self.agent.device
        key = ExecutionKey(f"local@{number}", 1, int(device._now()))
        device.by_hand.add(key)
        found = document(version, force=force, file="file:///media/app#0+8")
        self.begin(JobExecution(key, Status.QUEUED, 0, document=found))

    def report(self, execution: JobExecution, report: Report) -> None:
        if execution.key.local:
            self.agent.jobs.check(execution, report)
        if execution.key.local and report.state is State.REBOOT_START:
            self.agent.device.announced_by_hand.add(execution.key)
        super().report(execution, report)


class ModelDownloads:
    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.job: Job | None = None

    def start(self, job: Job) -> None:
        self.agent.device.files &= {job.key}
        if self.agent.device.streamed and self.agent.hooks.reading != job.key:
            self.agent.machine.stream_ready()
        else:
            self.job = job

    def stop(self) -> None:
        self.job = None

    def discard(self, key: ExecutionKey) -> None:
        if self.job is not None and self.job.key == key:
            self.job = None
        self.agent.device.files.discard(key)

    def finish(self) -> None:
        job, self.job = self.job, None
        if job is not None and self.agent.device.streamed:
            self.agent.hooks.unverified = False
            self.agent.machine.progressed(2, 2)
        elif job is not None:
            self.agent.device.files.add(job.key)
            self.agent.machine.downloaded(str(job.key))

    def fail(self) -> None:
        if self.job is not None:
            self.job = None
            self.agent.hooks.end_reading()
            self.agent.machine.download_failed(State.DOWNLOAD_FAILED, "HTTP 404")

    def expire(self) -> None:
        if self.job is not None:
            self.job = None
            self.agent.machine.url_expired("HTTP 403")

    def progress(self) -> None:
        if self.job is not None:
            self.agent.machine.progressed(1, 2)


class ModelHooks:
    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.running: tuple[Hook, Job] | None = None
        self.waiting: tuple[Hook, Job, str] | None = None
        self.again: tuple[Hook, Job] | None = None
        self.released = False
        self.unverified = False

    @property
    def restarting(self) -> Job | None:
        return self.running[1] if self.running and self.running[0] is Hook.RESTART else None

    @property
    def reading(self) -> ExecutionKey | None:
        """Whose file the install hook still reads from its stdin."""
        return self.running[1].key if self.running and self.unverified else None

    def end_reading(self) -> None:
        """The hook is killed, and nobody hears of it."""
        if self.reading and self.running:
            self._over(self.running[1], Hook.INSTALL)

    def restart_lingers(self) -> bool:
        return self.agent.device.lingering is not None

    def forget_restart(self) -> None:
        self.agent.device.lingering = None

    def may_restart_no_more(self, key: ExecutionKey) -> bool:
        """Whether the restarts of the update are used up; a rollback has restarts of its own."""
        device = self.agent.device
        attempts = self.agent.core.policy.restart_attempts
        return key in device.exhausted or device.restarts[key] >= attempts

    def nothing_lingers(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            self.run(*waiting)

    def run(self, hook: Hook, job: Job, file: str = "", reason: str = "") -> None:
        device = self.agent.device
        assert self.running is None, "two hooks at a time"
        assert self.again is None, "another hook in between"
        if hook is Hook.ROLLBACK:
            assert job.key not in device.undone, "rolled back twice"
            assert job.key not in device.displaced, "what another job has installed is rolled back"
            if job.key not in device.undoing:
                if self.may_restart_no_more(job.key):
                    device.exhausted.add(job.key)
                device.restarts[job.key] = device.uncounted[job.key] = 0
            device.undoing.add(job.key)
        if hook is Hook.CLEANUP:
            assert device.agent_ends(job.key), "tidied up too early"
            device.unclean.add(job.key)
        elif job.key not in device.undoing:
            assert job.key not in device.ended, "work on what has ended"
            assert job.key not in self.agent.jobs.over, "work on what AWS calls ended"
        assert device.going_down in (None, job.key), "another job while the device goes down"
        lingering = device.lingering
        assert lingering is None or lingering.key == job.key, "another job beside a restart hook"
        step = None if job.key in device.undoing else STEPS.get(hook)
        assert step is None or (job.key, step) in device.granted, "nobody has permitted it"
        if hook in DELICATE and self.restart_lingers():
            self.waiting = (hook, job, file)
            return
        if hook is Hook.INSTALL:
            assert file == (STREAM if device.streamed else str(job.key)), "another job's file"
            assert device.streamed or job.key in device.files, "a file that is not there"
            assert not device.announced(job.key), "installed again after the restart"
            device.unconfirmed.add(job.version)
            device.begun.add(job.key)
            device.installed.add(job.key)
            device.displaced.discard(job.key)
            device.overtaken |= device.ended
        if hook is Hook.RESTART:
            undoing = job.key in device.undoing
            assert undoing or device.announced(job.key), "restarted unannounced"
            device.restarts[job.key] += 1
            counted = device.restarts[job.key] - device.uncounted[job.key]
            assert counted <= self.agent.core.policy.restart_attempts, "restarted for ever"
        self.agent.record.begun(job.key, hook, 0, 0.0)
        self.running = (hook, job)
        self.unverified = file == STREAM
        if self.unverified:
            self.agent.downloads.start(job)

    def release(self) -> None:
        self.waiting = self.again = None
        if self.running is not None and self.running[0] in DELICATE and not self.unverified:
            self.released = True
        else:
            self.running = None
            self.unverified = False
            self.agent.machine.released()

    def shut_down(self) -> None:
        self.waiting = self.again = None
        if self.running is not None and self.running[0] is Hook.RESTART:
            self.agent.record.left(self.running[1].key)
            self.agent.device.restarted.add(self.running[1].key)  # as far as anybody can know
            self.agent.device.lingering = self.running[1]
        self.running = None

    # --- what the test lets happen ---

    def finish(self) -> None:
        """The hook does its work."""
        if self.running is None or self.unverified:
            return
        hook, job = self.running
        device, machine = self.agent.device, self.agent.machine
        if hook is Hook.INSTALL:
            gone = not device.streamed and job.key not in device.files
            assert not gone, "the file went while it was installed"
            device.staged = job.version
        elif hook is Hook.RESTART:
            device.restarted.add(job.key)
            device.going_down = job.key
            device.switch()
        elif hook is Hook.READY:
            device.confirm()
            device.displaced |= device.installed - {job.key}
        elif hook is Hook.ROLLBACK:
            device.staged = device.good
            device.undone.add(job.key)
        elif hook is Hook.CLEANUP:
            device.unclean.discard(job.key)
        self._over(job, hook)
        if self.released:
            self.released = False
            machine.released()
        elif hook is Hook.VERSION:
            machine.version_known(device.version)
        elif hook is Hook.ROLLBACK:
            machine.rolled_back(device.version != device.staged)
        else:
            _tell(machine, hook)

    def ask_for_another_try(self) -> None:
        """The hook exits with 3."""
        if self.running is not None and not self.unverified and not self.released:
            hook, job = self.again = self.running
            self.running = None
            if hook is Hook.RESTART:
                self.agent.device.uncounted[job.key] += 1
            self.agent.record.waiting(job.key, hook)

    def go_on(self) -> None:
        """It is time for the other try."""
        again, self.again = self.again, None
        if again is not None:
            hook, job = again
            self.agent.record.begun(job.key, hook, 1, 60.0)
            self.running = again

    def fail(self) -> None:
        if self.running is None:
            return
        hook, job = self.running
        if self.unverified:
            self.agent.downloads.stop()
        self._over(job, hook)
        if hook is Hook.ROLLBACK:
            self.agent.device.undone.add(job.key)
        elif hook is Hook.CLEANUP:
            self.agent.device.unclean.discard(job.key)
        if self.released:
            self.released = False
            self.agent.machine.released()
        else:
            self.agent.machine.hook_failed(hook, "Exit code: 1", {})

    def take_down(self, *, orderly: bool) -> None:
        """A restart hook that works reboots the device, with or without a last word for us."""
        device = self.agent.device
        if self.running is None or self.running[0] is not Hook.RESTART:
            return
        device.switch()
        device.restarted.add(self.running[1].key)
        if orderly:
            self.agent.stop()
        device.crash(reboot=True)

    def _over(self, job: Job, hook: Hook) -> None:
        self.running = None
        self.unverified = False
        self.agent.record.over(job.key, hook)


def _tell(machine: Inputs, hook: Hook) -> None:
    if hook is Hook.DOWNLOAD:
        machine.download_allowed()
    elif hook is Hook.INSTALL:
        machine.installed()
    elif hook is Hook.RESTART:
        machine.restarted()
    elif hook is Hook.CLEANUP:
        machine.cleaned()
    else:
        machine.ready()


class ModelGate:
    """What people and windows say; what was permitted stays so over the lives of the agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.device = agent.device
        self.waiting: tuple[JobStep, Job] | None = None

    # --- the port ---

    def holds(self, step: JobStep, job: Job) -> bool:
        device = self.device
        closed = step in device.closed and (job.key, step) not in device.granted
        if closed or device.paused:
            device.waited[job.key] = step
        else:
            self._grant(step, job)
        return closed or device.paused

    def wait(self, step: JobStep, job: Job) -> None:
        assert self.waiting is None, "two steps wait"
        assert self.agent.hooks.running is None, "a hook runs while a step waits"
        assert self.agent.downloads.job is None, "a download runs while a step waits"
        self.waiting = (step, job)
        self.agent.machine.held(Report(State.WAITING_FOR_APPROVAL, f"{step} waits"))

    def leave(self) -> None:
        self.waiting = None

    def last_wait(self, key: ExecutionKey) -> JobStep | None:
        return self.device.waited.get(key)

    # --- what the test lets happen ---

    def permit(self) -> None:
        """Somebody approves, and ends a pause."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            self.device.paused = False
            self._grant(*waiting)
            self.agent.machine.permitted()

    def _grant(self, step: JobStep, job: Job) -> None:
        self.device.granted.add((job.key, step))
        if self.device.waited.get(job.key) is step:
            del self.device.waited[job.key]


class ModelTimer:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.until: float | None = None

    def start(self, seconds: float) -> None:
        self.until = self.device.time + seconds

    def cancel(self) -> None:
        self.until = None

    def now(self) -> float:
        return self.device.time

    def fire(self, agent: Agent) -> None:
        if self.until is not None:
            self.device.time = max(self.device.time, self.until)
            self.until = None
            self.device.going_down = None
            agent.machine.timeout()


def document(version: str, **more: object) -> dict[str, object]:
    return {"action": ACTION, "version": version, "file": "https://s3.test/f", **more}


def execution_of(found: object) -> JobExecution:
    """What the wire would make of an execution of the store."""
    from upparat.iotjobs import wire

    whole = found.whole(0, document=True)  # type: ignore[attr-defined]
    return wire.execution({"execution": json.loads(json.dumps(whole))}, whole["jobId"])


def _verified(report: Report) -> bool:
    """Whether it says that the version of the job runs."""
    complete = report.state.value.startswith("complete")
    return complete and report.state is not State.COMPLETE_NO_VERSION_CHECK


def _version(execution: JobExecution) -> object:
    return execution.document["version"] if isinstance(execution.document, dict) else None

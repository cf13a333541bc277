"""The machine and the record against a model of AWS's job executions, with random faults."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.model import Device, PowerCut, document
from upparat.job import ExecutionKey, Hook, Status
from upparat.ports import JobStep

STEPS = 50
"""Steps of each example, at the most."""

MEMORY = Path("/dev/shm")  # the record is written often, and no power is cut here
FOREIGN = "foreign"
VERSIONS = st.sampled_from(["1.0", "2.0", "3.0"])


class UpdateModel(RuleBasedStateMachine):
    """Each rule is a step of the world; what must hold is asserted by the ports and below."""

    def __init__(self) -> None:
        super().__init__()
        where = MEMORY if os.access(MEMORY, os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="upparat-model-", dir=where))
        self.syncing = mock.patch("os.fsync")
        self.syncing.start()
        self.device = Device(self.directory)
        self.count = 0

    @initialize(
        streamed=st.booleans(),
        undoes=st.booleans(),
        asks=st.sampled_from([True, True, False]),
        closed=st.sets(st.sampled_from(JobStep)),
    )
    def choose_a_device(
        self, streamed: bool, undoes: bool, asks: bool, closed: set[JobStep]
    ) -> None:
        self.device = Device(self.directory, streamed=streamed, undoes=undoes, asks=asks)
        self.device.closed = closed

    # --- the back office ---

    @rule(kind=st.sampled_from(["ours", "ours", "ours", "foreign", "bad"]), data=st.data())
    def create(self, kind: str, data: st.DataObject) -> None:
        self.count += 1
        job: dict[str, object] = {"action": "reboot" if kind == "foreign" else "upparat-update"}
        if kind == "ours":
            job = document(data.draw(VERSIONS), force=data.draw(st.booleans()))
        self.device.store.create_job(f"{kind}-{self.count}", job)
        self.device.agent.jobs.look()

    @rule(version=VERSIONS, force=st.booleans())
    def install_by_hand(self, version: str, force: bool) -> None:
        installs = self.device.agent.installs
        if installs.in_hand_id() is None:
            self.count += 1
            installs.order(self.count, version, force=force)

    @rule(
        kind=st.sampled_from(["cancel", "force", "delete", "retry", "hide", "show", "look"]),
        data=st.data(),
    )
    def others_act(self, kind: str, data: st.DataObject) -> None:
        store = self.device.store
        found = self.ours(Status.QUEUED, Status.IN_PROGRESS)
        if kind == "look":
            self.device.agent.jobs.look()
        elif kind in ("hide", "show"):
            self.maintenance_window(hidden=kind == "hide")
        elif kind == "retry":
            self.time_out_and_retry()
        elif found:
            job_id = data.draw(st.sampled_from(found))
            if kind == "delete":
                store.delete(job_id, force=True)
            else:
                store.cancel(job_id, force=kind == "force")

    def ours(self, *status: Status) -> list[str]:
        return [
            each.job_id
            for each in self.device.store.executions
            if each.status in status and self.device.store.execution(each.job_id) is each
        ]

    def time_out_and_retry(self) -> None:
        for job_id in self.ours(Status.IN_PROGRESS)[:1]:
            self.device.store.time_out(job_id)
            self.device.store.retry(job_id)

    def maintenance_window(self, *, hidden: bool) -> None:
        """It hides what is queued; what has begun is always listed."""
        for job_id in self.ours(Status.QUEUED):
            self.device.store.hide(job_id, hidden=hidden)

    # --- the line ---

    @rule(
        kind=st.sampled_from(
            [
                "deliver",
                "lose_answer",
                "answer_list",
                "answer_stale_list",
                "answer_describe",
                "answer_stale_describe",
                "cannot_describe",
            ]
        )
    )
    def line(self, kind: str) -> None:
        getattr(self.device.agent.jobs, kind)()

    @rule()
    def look_at_old_news(self) -> None:
        """Go on to the end of a job; AWS's copies are only eventually consistent."""
        agent = self.device.agent
        jobs = agent.jobs
        for _ in range(20):
            if jobs.stale and jobs.wants_list and not jobs.reports:
                break
            agent.step()
        jobs.answer_stale_list()
        jobs.answer_stale_describe()

    # --- the device's work ---

    @rule(kind=st.sampled_from(["finish", "fail", "expire", "progress"]))
    def download(self, kind: str) -> None:
        getattr(self.device.agent.downloads, kind)()

    @rule(kind=st.sampled_from(["finish", "finish", "fail", "again", "reboot", "orderly reboot"]))
    def hook(self, kind: str) -> None:
        hooks = self.device.agent.hooks
        if kind == "fail":
            hooks.fail()
        elif kind == "again":
            hooks.ask_for_another_try()
        elif kind == "finish":
            hooks.finish()
        else:
            hooks.take_down(orderly=kind == "orderly reboot")

    @rule(steps=st.integers(1, 4))
    def go_on(self, steps: int) -> None:
        """All goes well for a while: by chance alone no update would get far."""
        for _ in range(steps):
            self.device.agent.step()

    go_on_again = rule(steps=st.integers(1, 4))(lambda self, steps: self.go_on(steps))
    go_far = rule()(lambda self: self.go_on(8))

    # --- the people ---

    @rule()
    def pause(self) -> None:
        self.device.paused = True

    @rule()
    def permit(self) -> None:
        self.device.paused = False
        self.device.agent.gate.permit()

    def until_it_waits(self, step: JobStep) -> bool:
        """Let all go well until this step waits; whether it does."""
        self.device.closed.add(step)
        for _ in range(30):
            waiting = self.device.agent.gate.waiting
            if waiting is not None and waiting[0] is step and not self.device.agent.jobs.reports:
                return True
            self.device.agent.step()
        return False

    @rule(step=st.sampled_from(JobStep), reboot=st.booleans(), boots=st.booleans())
    def cut_the_power_of_a_wait(self, step: JobStep, reboot: bool, boots: bool) -> None:
        """The boot loader may take what is installed."""
        if self.until_it_waits(step):
            waiting = self.device.agent.gate.waiting
            assert waiting is not None
            key = waiting[1].key
            if reboot and boots and step is JobStep.RESTART:
                self.device.switch()
            self.device.crash(reboot=reboot)
            for _ in range(4):
                if self.device.agent.gate.waiting is None:
                    self.device.agent.step()
            waiting = self.device.agent.gate.waiting
            if waiting is not None and waiting[1].key == key:  # another one may be next already
                assert waiting[0] is step, "the wait begins with another step"

    @rule(step=st.sampled_from(JobStep))
    def cancel_a_wait(self, step: JobStep) -> None:
        if self.until_it_waits(step):
            waiting = self.device.agent.gate.waiting
            assert waiting is not None
            if waiting[1].key.local:
                return
            if waiting[1].job_id in self.ours(Status.IN_PROGRESS):
                self.device.store.cancel(waiting[1].job_id, force=True)
            self.device.agent.jobs.look()
            now = self.device.agent.gate.waiting
            assert now is None or now[1].key.local, "the wait of a cancelled job goes on"

    # --- faults ---

    @rule(reboot=st.booleans(), orderly=st.booleans(), linger=st.booleans())
    def end_the_agent(self, reboot: bool, orderly: bool, linger: bool) -> None:
        if orderly:
            self.device.agent.stop()
        self.device.crash(reboot=reboot, linger=linger)

    @rule()
    def fall_back(self) -> None:
        self.device.fall_back()

    @rule()
    def stop_lingering(self) -> None:
        self.device.stop_lingering()

    @rule(
        kind=st.sampled_from(["force", "delete", "retry"]),
        reboot=st.booleans(),
        linger=st.booleans(),
    )
    def end_the_job_while_the_agent_is_away(self, kind: str, reboot: bool, linger: bool) -> None:
        in_hand = self.device.agent.core.in_hand
        self.device.crash(reboot=reboot, linger=linger)
        if in_hand is not None and in_hand.job_id in self.ours(Status.QUEUED, Status.IN_PROGRESS):
            if kind == "delete":
                self.device.store.delete(in_hand.job_id, force=True)
            elif kind == "force":
                self.device.store.cancel(in_hand.job_id, force=True)
            else:
                self.time_out_and_retry()

    @precondition(lambda self: self.record.exists())
    @rule(share=st.floats(0, 1))
    def tear_record(self, share: float) -> None:
        """Only a broken disk does this. What is owed is lost, which nothing can make up for, and
        whoever has announced a restart may have restarted."""
        if self.device.agent.core.in_hand or self.device.agent.jobs.reports:
            return
        self.device.restarted |= self.device.by_hand
        for each in self.device.store.executions:
            self.device.restarted.add(ExecutionKey(each.job_id, each.number, each.queued_at))
        self.device.unconfirmed = set()  # as far as the agent can know
        self.device.begun = set()
        self.device.installed, self.device.displaced = set(), set()
        self.device.unclean = set()
        self.device.going_down = None
        self.device.uncounted.update(self.device.restarts)
        content = self.record.read_bytes()
        self.record.write_bytes(content[: int(share * len(content))])
        self.device.crash()

    # --- what chance alone brings about too seldom ---

    def until_it_runs(self, hook: Hook) -> bool:
        """Let all go well until this hook runs; whether it does."""
        for _ in range(30):
            hooks = self.device.agent.hooks
            if hooks.running is not None and hooks.running[0] is hook and not hooks.unverified:
                return True
            self.device.agent.step()
        return False

    @rule(
        hook=st.sampled_from([Hook.INSTALL, Hook.RESTART, Hook.READY]),
        again=st.sampled_from(["retry", "new job", "nothing"]),
    )
    def leave_half_way(self, hook: Hook, again: str) -> None:
        """A hook fails, and the same version is asked for again."""
        if not self.until_it_runs(hook):
            return
        device = self.device
        running = device.agent.hooks.running
        assert running is not None
        job = running[1]
        device.agent.hooks.fail()
        for _ in range(3):
            device.agent.step()
        if again == "retry" and job.job_id in self.ours(Status.FAILED):
            device.store.retry(job.job_id)
        elif again == "new job":
            self.count += 1
            device.store.create_job(f"ours-{self.count}", document(job.version))
        device.agent.jobs.look()

    @rule(reboot=st.booleans(), orderly=st.booleans())
    def wait_with_the_restart(self, reboot: bool, orderly: bool) -> None:
        """The restart hook asks for another try, and the agent ends before that."""
        if self.until_it_runs(Hook.RESTART):
            self.device.agent.hooks.ask_for_another_try()
            self.end_the_agent(reboot, orderly, linger=False)

    @rule(version=VERSIONS)
    def die_before_the_device_does(self, version: str) -> None:
        """The restart hook has said yes, and another job waits."""
        for _ in range(2):
            self.count += 1
            self.device.store.create_job(f"ours-{self.count}", document(version, force=True))
        self.device.agent.jobs.look()
        if self.until_it_runs(Hook.RESTART):
            self.device.agent.hooks.finish()
            self.device.crash()
            self.go_on(12)

    @rule(times=st.integers(1, 4))
    def die_in_the_restart_again_and_again(self, times: int) -> None:
        """The restart hook kills the agent, and never restarts the device."""
        for _ in range(times):
            if self.until_it_runs(Hook.RESTART):
                self.device.crash()

    @rule(waiting=st.booleans())
    def another_job_comes_first(self, waiting: bool) -> None:
        """AWS does not describe the job in the restart for a while. Its restarts are forgotten."""
        if not self.until_it_runs(Hook.RESTART):
            return
        self.device.uncounted.update(self.device.restarts)
        if waiting:
            self.device.agent.hooks.ask_for_another_try()
        self.die_and_be_overtaken()

    @rule(reboot=st.booleans())
    def lose_the_file_of_a_begun_installation(self, reboot: bool) -> None:
        """The power fails in the install hook, and the file does not come again."""
        if self.until_it_runs(Hook.INSTALL):
            self.device.crash(reboot=reboot)
            for _ in range(30):
                if self.device.agent.downloads.job is not None:
                    self.device.agent.downloads.fail()
                    break
                self.device.agent.step()

    @rule()
    def be_displaced_and_go_on(self) -> None:
        """Another job is installed and confirmed, and the one before it goes on."""
        if self.until_it_runs(Hook.RESTART):
            self.device.uncounted.update(self.device.restarts)
            self.die_and_be_overtaken(reboot=True)
            self.go_on(60)

    @rule()
    def another_job_comes_before_the_rollback_is_over(self) -> None:
        """AWS does not describe the job that is taken back."""
        if Hook.ROLLBACK not in self.device.policy_hooks or not self.until_it_runs(Hook.INSTALL):
            return
        self.device.agent.hooks.fail()
        if self.until_it_runs(Hook.ROLLBACK):
            self.die_and_be_overtaken()

    def die_and_be_overtaken(self, *, reboot: bool = False) -> None:
        """The memory of the job goes. All that is left says that its restart was announced."""
        running = self.device.agent.hooks.again or self.device.agent.hooks.running
        assert running is not None
        self.device.restarted.add(running[1].key)
        self.device.closed, self.device.paused = set(), False  # the other job gets on
        self.count += 1
        self.device.store.create_job(f"ours-{self.count}", document("3.0"))
        self.device.crash(reboot=reboot)
        self.device.agent.jobs.look()
        self.device.agent.jobs.answer_list()
        self.device.agent.jobs.cannot_describe()
        self.go_on(8)

    @rule()
    def fall_back_before_the_success_is_told(self) -> None:
        for _ in range(30):
            reports = self.device.agent.jobs.reports
            if reports and reports[-1][1].status is Status.SUCCEEDED:
                self.device.fall_back()
                return
            self.device.agent.step()

    @rule(reboot=st.booleans())
    def cut_the_power_at_an_end(self, reboot: bool) -> None:
        """The end is in the record, and the update still is, too."""
        jobs = self.device.agent.jobs
        jobs.cuts = True
        try:
            self.go_on(30)
        except PowerCut:
            self.device.crash(reboot=reboot)
        jobs.cuts = False

    @rule(released=st.booleans())
    def cancel_in_the_restart(self, released: bool) -> None:
        if not self.until_it_runs(Hook.RESTART):
            return
        running = self.device.agent.hooks.running
        assert running is not None
        if not released:
            self.device.agent.hooks.finish()
        job_id = running[1].job_id
        if job_id in self.ours(Status.IN_PROGRESS):
            self.device.store.cancel(job_id, force=True)
        self.device.agent.jobs.look()
        self.device.agent.hooks.finish()

    @rule()
    def fail_while_the_device_may_go_down(self) -> None:
        """The agent dies before the device does, its version hook fails, and another job waits."""
        if self.until_it_runs(Hook.RESTART):
            self.device.agent.hooks.finish()
            self.device.crash()
            if self.until_it_runs(Hook.VERSION):
                self.device.agent.hooks.fail()
            self.count += 1
            self.device.store.create_job(f"ours-{self.count}", document("3.0"))
            self.go_on(8)

    @rule(kind=st.sampled_from(["force", "delete", "retry"]), linger=st.booleans())
    def end_the_job_after_its_restart_hook(self, kind: str, linger: bool) -> None:
        """The agent dies before the device does, and another job waits.

        The restart hook has said yes, or still runs.
        """
        if self.until_it_runs(Hook.RESTART):
            if not linger:
                self.device.agent.hooks.finish()
            self.end_the_job_while_the_agent_is_away(kind, reboot=False, linger=linger)
            self.count += 1
            self.device.store.create_job(f"ours-{self.count}", document("3.0"))
            self.go_on(8)

    @rule()
    def cancel_what_is_in_hand(self) -> None:
        for _ in range(10):
            in_hand = self.device.agent.core.in_hand
            if in_hand is not None:
                if in_hand.job_id in self.ours(Status.IN_PROGRESS, Status.QUEUED):
                    self.device.store.cancel(in_hand.job_id, force=True)
                break
            self.device.agent.step()
        self.device.agent.jobs.look()

    @rule()
    def cancel_what_is_looked_at(self) -> None:
        """Between the list and the description."""
        jobs = self.device.agent.jobs
        for _ in range(10):
            if jobs.described:
                if jobs.described in self.ours(Status.QUEUED):
                    self.device.store.cancel(jobs.described)
                break
            self.device.agent.step()
        jobs.answer_describe()

    # --- what holds ---

    @property
    def record(self) -> Path:
        return self.directory / "record.json"

    @invariant()
    def foreign_jobs_are_left_alone(self) -> None:
        assert all(not each.job_id.startswith(FOREIGN) for each in self.device.store.updates)

    @invariant()
    def versions_only_go_up(self) -> None:
        versions: dict[tuple[str, int], int] = {}
        for each in self.device.store.updates:
            execution = (each.job_id, each.number)
            assert each.version > versions.get(execution, 0)
            versions[execution] = each.version

    def teardown(self) -> None:
        """In a friendly world everything comes to its end."""
        try:
            self.settle()
            self.check_the_end()
        finally:
            self.syncing.stop()
            shutil.rmtree(self.directory)

    def noted(self) -> set[str]:
        """The versions that are not confirmed by the device's record."""
        record = self.device.agent.record
        return {version for version in ("1.0", "2.0", "3.0") if record.unconfirmed(version)}

    def settle(self) -> None:
        self.maintenance_window(hidden=False)
        self.device.paused = False
        for _ in range(2):
            self.device.agent.jobs.look()
            for _ in range(40 + 40 * self.count):
                self.device.agent.step()

    def check_the_end(self) -> None:
        device = self.device
        left = [each for each in device.store.pending() if not each.job_id.startswith(FOREIGN)]
        assert left == [], "stuck"
        assert not device.agent.core.in_hand
        assert not device.agent.core.memory
        assert device.agent.installs.in_hand_id() is None
        assert not (self.directory / "install.json").exists()
        assert device.agent.hooks.running is None
        assert device.agent.gate.waiting is None
        assert device.agent.downloads.job is None
        if self.record.exists():
            text = self.record.read_text()
            assert self.noted() or '"left"' in text, text
            assert not device.agent.record.owed()
        assert device.unconfirmed <= self.noted()
        assert device.files == set()
        assert device.unclean == set(), "begun to tidy up, and not gone on"
        assert device.lingering is None


TestUpdateModel = UpdateModel.TestCase
TestUpdateModel.settings = settings(
    stateful_step_count=STEPS, suppress_health_check=list(HealthCheck)
)

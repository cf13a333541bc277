"""The machine and the record against a model of AWS's job executions, with random faults.

``UPPARAT_MODEL_STEPS`` says how many steps to take, about.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.model import Device, document
from upparat.job import Status

STEPS = int(os.environ.get("UPPARAT_MODEL_STEPS", "10000"))
IN_A_RUN = 50
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

    # --- the back office ---

    def create(self, document: object, name: str = "job") -> None:
        self.count += 1
        self.device.store.create_job(f"{name}-{self.count}", document)

    @rule(version=VERSIONS, force=st.booleans())
    def create_ours(self, version: str, force: bool) -> None:
        self.create(document(version, force=force))

    @rule()
    def create_foreign(self) -> None:
        self.create({"action": "reboot"}, FOREIGN)

    @rule()
    def create_bad(self) -> None:
        self.create({"action": "upparat-update"})

    def ours(self, *status: Status) -> list[str]:
        return [
            each.job_id
            for each in self.device.store.executions
            if each.status in status and self.device.store.execution(each.job_id) is each
        ]

    @rule(data=st.data(), force=st.booleans())
    def cancel(self, data: st.DataObject, force: bool) -> None:
        if found := self.ours(Status.QUEUED, Status.IN_PROGRESS):
            self.device.store.cancel(data.draw(st.sampled_from(found)), force=force)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if found := self.ours(Status.QUEUED, Status.IN_PROGRESS):
            self.device.store.delete(data.draw(st.sampled_from(found)), force=True)

    @rule()
    def time_out_and_retry(self) -> None:
        for job_id in self.ours(Status.IN_PROGRESS)[:1]:
            self.device.store.time_out(job_id)
            self.device.store.retry(job_id)

    @rule(hidden=st.booleans())
    def maintenance_window(self, hidden: bool) -> None:
        """It hides what is queued; what has begun is always listed."""
        for job_id in self.ours(Status.QUEUED):
            self.device.store.hide(job_id, hidden=hidden)

    # --- the line ---

    @rule()
    def deliver(self) -> None:
        self.device.agent.jobs.deliver()

    @rule()
    def lose_answer(self) -> None:
        self.device.agent.jobs.lose_answer()

    @rule()
    def answer_list(self) -> None:
        self.device.agent.jobs.answer_list()

    @rule()
    def answer_describe(self) -> None:
        self.device.agent.jobs.answer_describe()

    @rule()
    def look(self) -> None:
        self.device.agent.jobs.look()

    # --- the device's work ---

    @rule(how=st.sampled_from(["finish", "finish", "fail", "expire", "progress"]))
    def download(self, how: str) -> None:
        getattr(self.device.agent.downloads, how)()

    @rule(good=st.sampled_from([True, True, True, False]))
    def hook(self, good: bool) -> None:
        hooks = self.device.agent.hooks
        (hooks.finish if good else hooks.fail)()

    @rule(orderly=st.booleans())
    def restart_hook_reboots(self, orderly: bool) -> None:
        self.device.agent.hooks.take_down(orderly=orderly)

    @rule()
    def time_passes(self) -> None:
        self.device.agent.timer.fire(self.device.agent)

    @rule(steps=st.integers(1, 15))
    def go_on(self, steps: int) -> None:
        """All goes well for a while: by chance alone no update would get far."""
        for _ in range(steps):
            self.device.agent.step()

    # --- faults ---

    @rule(reboot=st.booleans())
    def crash(self, reboot: bool) -> None:
        self.device.crash(reboot=reboot)

    @rule(reboot=st.booleans())
    def stop(self, reboot: bool) -> None:
        self.device.agent.stop()
        self.device.crash(reboot=reboot)

    @precondition(lambda self: self.record.exists())
    @rule(share=st.floats(0, 1))
    def tear_record(self, share: float) -> None:
        """Only a broken disk does this: the update may be reported once more, but no more."""
        if self.device.agent.core.in_hand or self.device.agent.jobs.reports:
            return  # then its end could be lost, which nothing can make up for
        content = self.record.read_bytes()
        self.record.write_bytes(content[: int(share * len(content))])
        self.device.crash()

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

    def settle(self) -> None:
        self.maintenance_window(hidden=False)
        for _ in range(2):
            self.device.agent.jobs.look()
            self.go_on(steps=40 + 40 * self.count)

    def check_the_end(self) -> None:
        device = self.device
        left = [each for each in device.store.pending() if not each.job_id.startswith(FOREIGN)]
        assert left == [], "stuck"
        assert not device.agent.core.in_hand
        assert device.agent.hooks.running is None
        assert not self.record.exists(), self.record.read_text()
        assert device.files == set()


TestUpdateModel = UpdateModel.TestCase
TestUpdateModel.settings = settings(
    max_examples=max(1, STEPS // IN_A_RUN),
    stateful_step_count=IN_A_RUN,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

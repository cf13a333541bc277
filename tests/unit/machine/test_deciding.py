"""Whether a step begins at once, and where a wait goes on that an earlier agent has begun."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution, key
from tests.unit.machine.bench import IN_PROGRESS, Life, summary
from upparat.job import State
from upparat.ports import Installation, JobStep, Memory, Stage

WAITED = "waiting_for_approval"


class BeginTests(SynchronousTestCase):
    def test_an_agent_without_a_gate(self) -> None:
        life = Life()
        life.core.gate = None
        life.gate.closed = set(JobStep)
        life.restart_running()
        self.assertEqual(life.state, "restart")
        self.assertNotIn("hold", life.moves)

    def test_each_step_waits(self) -> None:
        life = Life().holding(*JobStep)
        for step, before in (
            (JobStep.DOWNLOAD, [("record working", "a")]),
            (JobStep.INSTALL, []),
            (JobStep.RESTART, [("installation", "installed")]),
        ):
            self.assertEqual(life.state, "hold")
            self.assertEqual(life.taken()[-len(before) - 1 :], [*before, ("wait", step, "a")])
            life.machine.permitted()
            if step is JobStep.DOWNLOAD:
                life.machine.download_allowed()
                life.machine.downloaded("/file")
            elif step is JobStep.INSTALL:
                life.machine.installed()
        self.assertEqual(life.state, "restart")

    def test_a_step_that_waits_alone(self) -> None:
        life = Life()
        life.gate.closed = {JobStep.RESTART}
        life.restarting()
        self.assertEqual(life.moves.count("hold"), 1)
        life.quiet().machine.permitted()
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])

    def test_a_stream_waits_before_it_is_read(self) -> None:
        life = Life()
        life.gate.closed = {JobStep.INSTALL}
        life.streaming().quiet().machine.permitted()
        self.assertIn(("run", "install", "a", "-"), life.taken())


class AgainTests(SynchronousTestCase):
    """An agent that starts where an earlier one has waited."""

    def again(
        self,
        step: JobStep | None,
        stage: Stage | None = None,
        *,
        same_boot: bool = True,
        closed: bool = True,
    ) -> Life:
        life = Life()
        life.gate.waited = step
        life.gate.closed = set(JobStep) if closed else set()
        if stage is not None:
            life.record.installation = Installation("2.0", stage)
        life.started(Memory(key(), same_boot=same_boot)).quiet()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state=WAITED))
        self.assertEqual(life.taken()[:2], [("describe", "a"), ("follow", "a")])
        life.calls[:] = []
        return life

    def test_with_the_installation(self) -> None:
        life = self.again(JobStep.INSTALL)
        self.assertEqual(life.moves[-2:], ["verify_job", "hold"])
        life.machine.permitted()
        self.assertEqual(life.state, "download")  # the file is verified again
        life.gate.closed = set()
        life.machine.download_allowed()
        life.machine.downloaded("/file")
        self.assertEqual(life.state, "install")

    def test_with_an_installation_that_may_begin_now(self) -> None:
        life = self.again(JobStep.INSTALL, closed=False)
        self.assertEqual(life.state, "download")

    def test_with_the_restart(self) -> None:
        life = self.again(JobStep.RESTART, Stage.INSTALLED)
        self.assertEqual(life.moves[-2:], ["verify_job", "hold"])
        life.machine.permitted()
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])

    def test_the_reboot_was_the_restart(self) -> None:
        life = self.again(JobStep.RESTART, Stage.INSTALLED, same_boot=False)
        self.assertEqual(life.state, "verify_installation")
        life.machine.version_known("2.0")
        life.machine.ready()
        self.assertEqual(
            life.taken()[-4:-2], [("report", "a", "complete_ready", "none"), ("clear record",)]
        )

    def test_the_reboot_has_changed_nothing(self) -> None:
        life = self.again(JobStep.RESTART, Stage.INSTALLED, same_boot=False)
        life.machine.version_known("1.0")
        self.assertEqual(life.state, "hold")
        self.assertEqual(life.taken(), [("wait", "restart", "a")])

    def test_nothing_that_is_installed(self) -> None:
        for stage in (None, Stage.INSTALLING):
            life = self.again(JobStep.RESTART, stage)
            life.gate.closed = set()
            life.machine.permitted()
            self.assertEqual(life.state, "download", stage)

    def test_with_the_download_or_nothing(self) -> None:
        for step in (JobStep.DOWNLOAD, None):
            life = self.again(step, closed=False)
            self.assertEqual(life.state, "download", step)

    def test_another_job(self) -> None:
        life = Life()
        life.gate.waited = JobStep.INSTALL
        life.gate.closed = {JobStep.INSTALL}
        life.started(Memory(key("b"))).quiet()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.describe_failed("b", False)
        life.machine.described(execution(status=IN_PROGRESS, state=WAITED))
        self.assertEqual(life.state, "download")

    def test_a_restart_that_was_announced_waits_and_says_nothing(self) -> None:
        life = Life()
        life.gate.closed = {JobStep.RESTART}
        life.started(Memory(key(), restart_accepted=True, same_boot=True)).quiet()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state=State.REBOOT_START.value))
        self.assertEqual((life.state, life.taken()[-1]), ("hold", ("wait", "restart", "a")))

"""A step that waits: what is reported, and how the wait ends."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import Call, execution, key
from tests.unit.machine.bench import IN_PROGRESS, Life, ended, summary
from upparat.job import Report, State
from upparat.ports import JobStep, Memory

APPROVAL = Report(State.WAITING_FOR_APPROVAL, "download waits: somebody has to approve it")
WINDOW = Report(State.WAITING_FOR_WINDOW, "download waits: the window opens")


def reported(report: Report) -> list[Call]:
    return [("report", "a", report.state.value, report.message)]


class ReportTests(SynchronousTestCase):
    def test_once_and_again_when_it_changes(self) -> None:
        life = Life().holding().quiet()
        for report in (APPROVAL, WINDOW, APPROVAL):
            life.machine.held(report)
            self.assertEqual(life.taken(), reported(report))
            life.machine.held(report)
            self.assertEqual(life.taken(), [])
        self.assertEqual(life.state, "hold")

    def after_a_crash(self, known: Report, *, step: JobStep = JobStep.DOWNLOAD) -> Life:
        life = Life()
        life.gate.waited = step
        life.gate.closed = {step}
        life.started(Memory(key(), same_boot=True)).quiet()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        found = execution(status=IN_PROGRESS)
        life.machine.described(
            type(found)(found.key, found.status, 2, known.details, found.document)
        )
        self.assertEqual(life.state, "hold")
        return life.quiet()

    def test_what_aws_knows_is_not_reported_again(self) -> None:
        for step in (JobStep.DOWNLOAD, JobStep.INSTALL):
            life = self.after_a_crash(APPROVAL, step=step)
            life.machine.held(APPROVAL)
            self.assertEqual(life.taken(), [])
            life.machine.held(WINDOW)
            self.assertEqual(life.taken(), reported(WINDOW))

    def test_what_has_changed_is_reported(self) -> None:
        life = self.after_a_crash(WINDOW)
        life.machine.held(APPROVAL)
        self.assertEqual(life.taken(), reported(APPROVAL))

    def test_an_announced_restart_stays_the_last_report(self) -> None:
        life = Life()
        life.gate.closed = {JobStep.RESTART}
        life.started(Memory(key(), restart_accepted=True, same_boot=True))
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        life.quiet().machine.held(APPROVAL)
        self.assertEqual(life.taken(), [])
        life.machine.cancelled()  # its restart hook may have been at work
        life.machine.released()
        self.assertEqual(life.taken()[-1], ("timer", 10.0))


class EndTests(SynchronousTestCase):
    def test_cancelled(self) -> None:
        life = Life().holding().quiet()
        life.machine.cancelled()
        self.assertEqual(
            life.taken(),
            [("leave gate",), ("unfollow",), ("cancel timer",), ("stop download",), ("release",)],
        )
        self.assertEqual(life.state, "wind_down")
        life.machine.released()
        self.assertEqual(life.taken(), [("discard", "a"), ("clear record",), ("fetch",)])

    def test_a_stream_that_will_not_come(self) -> None:
        life = Life()
        life.gate.closed = {JobStep.INSTALL}
        life.streaming().quiet()
        life.machine.download_failed(State.DOWNLOAD_FAILED, "HTTP 404")
        expected = [("leave gate",), *ended("a", "download_failed", "HTTP 404")]
        self.assertEqual(life.taken(), expected)

    def test_the_agent_is_stopped(self) -> None:
        life = Life().holding().quiet()
        life.machine.stop()
        self.assertEqual((life.state, life.taken()), ("stopped", [("leave gate",)]))

"""What comes next when an installation has failed."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import ALL_HOOKS, USUAL_HOOKS, Call, execution, key
from upparat.job import Downgrades, ExecutionKey, Hook, JobExecution, State, Status
from upparat.machine.model import BY_OTHERS
from upparat.machine.selecting import VERSION_BEGUN
from upparat.ports import Installation, JobStep, Memory, Rollback, Stage
from upparat.snapshots import EndedJob

from .bench import Life, summary

FAILED = Rollback("2.0", State.READY_HOOK_FAILED, "Exit code: 1", {"hook": "ready"})
ASKS_FOR_RESTART = replace(FAILED, hook_done=True, restart=True)
IN_RESTART = replace(ASKS_FOR_RESTART, restarts=1)


def taken_back(message: str) -> JobExecution:
    """AWS knows of a rollback."""
    found = execution(status=Status.IN_PROGRESS)
    details = {"state": State.ROLLBACK_START.value, "message": message}
    return replace(found, details=details)


class RollbackBench(SynchronousTestCase):
    def started(self, rollback: Rollback, hooks: frozenset[Hook] = ALL_HOOKS) -> Life:
        """The agent finds itself in a rollback."""
        memory = Memory(key(), restart_accepted=True, rollback=rollback)
        life = Life(hooks).started(memory)
        life.machine.pending([summary(status=Status.IN_PROGRESS)], [])
        life.machine.described(taken_back("ready_hook_failed: why"))
        return life

    def reported(self, calls: list[Call]) -> list[Call]:
        return [call for call in calls if call[0] == "report"]


class FailureTests(RollbackBench):
    def test_without_a_hook_nothing_is_taken_back(self) -> None:
        life = Life().rolling_back()
        self.assertEqual(life.state, "fetch_jobs")
        self.assertEqual(life.jobs.facts["rollback"], "none")

    def test_the_hook_learns_the_reason(self) -> None:
        life = Life(ALL_HOOKS).rolling_back()
        self.assertEqual(life.state, "rollback")
        self.assertEqual(
            life.taken()[-2:],
            [
                ("report", "a", "rollback_start", "installation_hook_failed: Exit code: 1"),
                ("run", "rollback", "a", "installation_hook_failed", "Exit code: 1"),
            ],
        )
        self.assertEqual(
            life.record.rollback,
            Rollback("2.0", State.INSTALLATION_HOOK_FAILED, "Exit code: 1", {"hook": "install"}),
        )

    def test_what_failed_before_the_installation_is_not_taken_back(self) -> None:
        life = Life(ALL_HOOKS).downloading().quiet()
        life.machine.download_failed(State.DOWNLOAD_FAILED, "HTTP 404")
        self.assertEqual(life.state, "cleanup")
        self.assertNotIn("rollback", life.jobs.facts)

    def test_a_stream_that_breaks_off_is(self) -> None:
        life = Life(ALL_HOOKS).streaming().quiet()
        life.machine.download_failed(State.DOWNLOAD_FAILED, "HTTP 404")
        self.assertEqual(life.state, "rollback")


class BegunTests(RollbackBench):
    """An earlier agent has begun the install hook, and the file is gone: what may be half installed
    is taken back whatever fails now."""

    def begun(self, file: str = "https://s3/f", life: Life | None = None) -> Life:
        life = life or Life(ALL_HOOKS)
        life.record.begun = {key(): "2.0"}
        life.started(Memory(key())).quiet()
        life.machine.pending([summary(status=Status.IN_PROGRESS)], [])
        life.machine.described(execution(status=Status.IN_PROGRESS, file=file))
        return life

    def test_the_update_is_not_for_this_device(self) -> None:
        life = self.begun()
        life.machine.hook_failed(Hook.CHECK, "only for board B", {})
        self.assertEqual(life.state, "rollback")
        self.assertEqual(life.taken()[-1][3], "incompatible")

    def test_the_file_does_not_come(self) -> None:
        life = self.begun()
        life.machine.compatible()
        life.machine.download_allowed()
        life.machine.download_failed(State.DOWNLOAD_FAILED, "HTTP 404")
        self.assertEqual(life.state, "rollback")
        self.assertEqual(life.taken()[-1][3:], ("download_failed", "HTTP 404"))

    def test_the_file_does_not_come_while_the_installation_waits(self) -> None:
        life = self.begun()
        life.gate.closed = {JobStep.INSTALL}
        life.machine.compatible()
        life.machine.download_allowed()
        life.machine.stream_ready()
        self.assertEqual(life.state, "hold")
        life.machine.download_failed(State.DOWNLOAD_FAILED, "HTTP 404")
        self.assertEqual(life.state, "rollback")

    def test_the_device_has_another_version_meanwhile(self) -> None:
        for version in ("3.0", ""):
            life = self.begun(life=Life(ALL_HOOKS, allow_downgrade=Downgrades.NO))
            life.machine.version_known(version)
            self.assertEqual(life.state, "rollback")

    def test_aws_has_no_url_any_more(self) -> None:
        unfilled = "${aws:iot:s3-presigned-url:x}"
        life = self.begun(unfilled)
        life.machine.compatible()
        life.machine.download_allowed()
        self.assertEqual(life.taken()[-1], ("describe", "a"))
        life.machine.described(execution(status=Status.IN_PROGRESS, file=unfilled))
        self.assertEqual(life.state, "rollback")
        self.assertEqual(life.taken()[-1][3], "download_failed")

    def test_aws_has_one_again(self) -> None:
        life = self.begun("${aws:iot:s3-presigned-url:x}")
        life.machine.compatible()
        life.machine.download_allowed()
        fresh = execution(status=Status.IN_PROGRESS, sha256="0" * 64)
        life.machine.described(fresh)
        self.assertEqual(life.taken()[-1][:2], ("download", "a"))
        assert life.core.job is not None
        self.assertEqual(life.core.job.sha256, "0" * 64, "the hooks learn of it")

    def test_without_a_rollback_hook(self) -> None:
        life = self.begun(life=Life(USUAL_HOOKS))
        life.machine.hook_failed(Hook.DOWNLOAD, "Exit code: 1", {})
        self.assertEqual(life.jobs.facts["rollback"], "none")

    def test_a_job_that_was_not_begun_is_rejected(self) -> None:
        life = Life(ALL_HOOKS).started(Memory(key())).quiet()
        life.machine.pending([summary(status=Status.IN_PROGRESS)], [])
        life.machine.described(execution(status=Status.IN_PROGRESS, file="${no}"))
        self.assertEqual(life.taken()[1][2], "invalid_job_document")


class StartTests(RollbackBench):
    def test_the_hook_runs_again(self) -> None:
        life = self.started(FAILED)
        self.assertEqual(
            life.taken()[-2:],
            [
                ("cancel timer",),
                ("run", "rollback", "a", "ready_hook_failed", "Exit code: 1"),
            ],
        )

    def test_a_hook_that_was_taken_out_of_the_configuration(self) -> None:
        life = self.started(FAILED, USUAL_HOOKS).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.jobs.facts["rollback"], "failed")

    def test_a_hook_that_has_ended_does_not(self) -> None:
        life = self.started(replace(FAILED, hook_done=True))
        self.assertEqual(life.taken()[-1], ("run", "version", "a"))

    def test_a_failure_is_remembered(self) -> None:
        life = self.started(replace(ASKS_FOR_RESTART, failed=True)).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.jobs.facts["rollback"], "failed")

    def test_the_restart_has_not_begun(self) -> None:
        life = self.started(ASKS_FOR_RESTART)
        self.assertEqual(life.taken()[-1], ("run", "restart", "a"))
        self.assertEqual(life.record.rollback, IN_RESTART)

    def test_after_the_restart(self) -> None:
        life = self.started(IN_RESTART)
        self.assertEqual(life.taken()[-1], ("timer", 10.0))
        life.machine.timeout()
        self.assertEqual(life.taken(), [("run", "version", "a")])

    def test_restarts_are_counted(self) -> None:
        life = self.started(replace(IN_RESTART, restarts=3)).quiet()
        life.machine.timeout()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken()[-1], ("run", "version", "a"))
        life.machine.version_known("2.0")
        self.assertEqual(life.jobs.facts["rollback"], "failed")

    def test_restarts_that_cannot_be_counted(self) -> None:
        life = Life(ALL_HOOKS).rolling_back().quiet()
        life.record.writable = False
        life.machine.rolled_back(True)
        self.assertEqual(life.taken(), [("run", "version", "a")])

    def test_no_restart_hook(self) -> None:
        life = Life(ALL_HOOKS - {Hook.RESTART}).rolling_back().quiet()
        life.machine.rolled_back(True)
        life.machine.version_known("1.0")
        self.assertEqual(life.jobs.facts["rollback"], "failed")


class DisplacedTests(RollbackBench):
    """AWS does not describe a job in its restart, and another one is installed meanwhile. To roll
    the first one back would take back what the other one has installed."""

    def displaced(self, memory: Memory, begun: str = "") -> Life:
        life = Life(ALL_HOOKS)
        life.record.begun = {key(): begun}
        life.started(memory)
        life.machine.pending([summary(status=Status.IN_PROGRESS)], [summary("b")])
        life.machine.describe_failed("a", False)
        life.machine.described(execution("b"))
        return life

    def test_it_is_remembered(self) -> None:
        for memory, begun, remembered in (
            (Memory(key(), restart_accepted=True), "", True),
            (Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1), "", True),
            (Memory(key()), "2.0", True),
            (Memory(key()), "", False),
            (Memory(key(), restart_accepted=True, rollback=FAILED), "2.0", False),
        ):
            calls = self.displaced(memory, begun).taken()
            self.assertEqual(("record left", "a") in calls, remembered)

    def again(self) -> Life:
        life = Life(ALL_HOOKS).started()
        life.record.gone = key()
        life.machine.pending([summary(status=Status.IN_PROGRESS)], [])
        life.machine.described(execution(status=Status.IN_PROGRESS, state="reboot_start"))
        return life

    def test_a_failure(self) -> None:
        life = self.again()
        life.machine.version_known("3.0")
        self.assertEqual((life.state, life.jobs.facts["rollback"]), ("cleanup", "none"))

    def test_a_cancel(self) -> None:
        life = self.again()
        life.machine.cancelled()
        life.machine.released()
        life.machine.timeout()
        self.assertEqual(life.state, "cleanup")

    def test_an_end_while_the_agent_was_away(self) -> None:
        life = Life(ALL_HOOKS).started(Memory(key(), restart_accepted=True))
        life.record.gone = key()
        life.machine.pending([], [])
        life.machine.describe_failed("a", True)
        life.machine.released()
        self.assertEqual(life.state, "cleanup")


class AnotherJobTests(SynchronousTestCase):
    def test_the_rollback_comes_to_its_end_first(self) -> None:
        """AWS does not say what has become of its job. Nothing is installed on what is half taken
        back, its file is not left behind, and AWS hears how it has ended."""
        memory = Memory(key(), restart_accepted=True, rollback=FAILED, replaced="1.0")
        life = Life(ALL_HOOKS).started(memory).quiet()
        life.machine.pending([], [summary("b")])
        life.machine.describe_failed("a", False)
        life.machine.described(execution("b"))
        self.assertEqual(life.state, "wind_down")
        life.quiet().machine.released()
        reason = ("ready_hook_failed", "Exit code: 1")
        self.assertIn(("run", "rollback", "a", *reason), life.taken())
        life.machine.rolled_back(False)
        life.quiet().machine.version_known("1.0")
        self.assertEqual(life.state, "cleanup")
        self.assertEqual(
            life.taken(),
            [
                ("report", "a", *reason),
                ("record cleaning", "a"),
                ("run", "cleanup", "a", *reason),
                ("discard", "a"),
            ],
        )
        facts = life.jobs.facts
        self.assertEqual((facts["rollback"], facts["from"], facts["to"]), ("done", "1.0", "2.0"))
        self.assertEqual(life.jobs.expected, VERSION_BEGUN, "no execution in its place is ended")

    def test_what_others_have_ended_is_not_told(self) -> None:
        others = replace(FAILED, state=None, message=BY_OTHERS, facts={})
        life = Life(ALL_HOOKS).started(Memory(key(), rollback=others)).quiet()
        life.machine.pending([], [summary("b")])
        life.machine.describe_failed("a", False)
        life.machine.described(execution("b"))
        life.machine.released()
        life.machine.rolled_back(False)
        life.machine.version_known("1.0")
        self.assertEqual(life.state, "cleanup")
        self.assertNotIn("report", [each[0] for each in life.taken()])


class ToldEndTests(SynchronousTestCase):
    """The agent has told the end of an update, and could not forget it: its disk was read-only."""

    def ended(self, status: Status, state: str, memory: Memory) -> tuple[Life, list[EndedJob]]:
        life, ended = Life(ALL_HOOKS), list[EndedJob]()
        life.core.on_ended = ended.append
        life.started(memory).quiet()
        life.machine.pending([], [])
        told = execution(status=status, state=state)
        life.machine.described(replace(told, details={**told.details, "message": "why"}))
        life.machine.released()
        return life, ended

    def test_a_success_is_not_taken_back(self) -> None:
        memory = Memory(key(), restart_accepted=True, restart_attempts=1, replaced="1.0")
        life, ended = self.ended(Status.SUCCEEDED, "complete_ready", memory)
        self.assertEqual(life.state, "cleanup")
        self.assertEqual(
            ended, [EndedJob(key(), "2.0", "SUCCEEDED", "complete_ready", "why", "1.0")]
        )

    def test_a_success_of_which_aws_tells_no_more(self) -> None:
        life = Life(ALL_HOOKS).started(Memory(key(), restart_accepted=True, version="2.0")).quiet()
        life.machine.pending([], [])
        end = {"state": "complete_ready", "message": "none"}
        life.machine.described(JobExecution(ExecutionKey.of_job("a"), Status.SUCCEEDED, 9, end))
        life.machine.released()
        self.assertEqual(life.state, "cleanup")

    def test_a_success_confirms_what_it_has_installed(self) -> None:
        """Or the next job of this version would restart it once more. What an earlier job has left
        is not confirmed by it."""
        for status, installs, left in (
            (Status.SUCCEEDED, "2.0", None),
            (Status.SUCCEEDED, "3.0", "2.0"),
            (Status.FAILED, "2.0", "2.0"),
        ):
            memory = Memory(key(), restart_accepted=True, version="2.0")
            life = Life(ALL_HOOKS).started(memory)
            life.record.begun = {key(): installs}
            life.record.installation = Installation("2.0", Stage.RESTARTED)
            life.machine.pending([], [])
            life.machine.described(JobExecution(ExecutionKey.of_job("a"), status, 9))
            noted = life.record.installation
            self.assertEqual(noted and noted.version, left)

    def test_the_cleanup_hook_is_told_the_same_end(self) -> None:
        memory = Memory(key(), restart_accepted=True)
        life, _ = self.ended(Status.SUCCEEDED, "complete_ready", memory)
        self.assertIn(("run", "cleanup", "a", "complete_ready", "why"), life.taken())

    def test_what_was_taken_back_is_not_taken_back_again(self) -> None:
        for rollback in (None, FAILED, IN_RESTART):
            memory = Memory(key(), restart_accepted=True, rollback=rollback)
            life, ended = self.ended(Status.FAILED, "ready_hook_failed", memory)
            self.assertEqual(life.state, "cleanup")
            self.assertEqual([each.status for each in ended], ["FAILED"])

    def test_what_was_confirmed_is_not_whoever_has_ended_the_job(self) -> None:
        """The agent has reported the success, and did not hear the answer of AWS."""
        verified = State.COMPLETE_READY
        memory = Memory(key(), restart_accepted=True, restart_done=True, verified=verified)
        life, _ = self.ended(Status.TIMED_OUT, "reboot_start", memory)
        self.assertEqual(life.state, "cleanup")
        life = Life(ALL_HOOKS).started(memory).quiet()
        life.machine.pending([], [])
        life.machine.describe_failed("a", True)
        life.machine.released()
        self.assertEqual(life.state, "cleanup")

    def test_what_others_have_ended_is(self) -> None:
        memory = Memory(key(), restart_accepted=True)
        life, ended = self.ended(Status.TIMED_OUT, "reboot_start", memory)
        self.assertEqual(life.state, "rollback")
        self.assertEqual([each.status for each in ended], [""])


class LostRecordTests(SynchronousTestCase):
    def end(self, message: str) -> Life:
        life = Life(ALL_HOOKS).started()
        life.machine.pending([summary(status=Status.IN_PROGRESS)], [])
        life.machine.described(taken_back(message))
        return life

    def test_aws_knows_the_reason(self) -> None:
        life = self.end("ready_hook_failed: Exit code: 1: no")
        self.assertIn(("report", "a", "ready_hook_failed", "Exit code: 1: no"), life.taken())
        self.assertEqual(life.jobs.facts["rollback"], "unknown")

    def test_aws_knows_nothing(self) -> None:
        for message in ("", "complete_ready: none"):
            reported = [each for each in self.end(message).taken() if each[0] == "report"]
            self.assertEqual(reported[0][2], "installation_hook_failed")

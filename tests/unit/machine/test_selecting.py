"""Finding the job."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution, key
from tests.unit.machine.bench import IN_PROGRESS, QUEUED, Life, summary
from upparat.job import ExecutionKey, JobExecutionSummary, Status
from upparat.machine.model import FULL_LIST
from upparat.ports import Memory


class FindingTests(SynchronousTestCase):
    def test_nothing_pending_waits_for_a_change(self) -> None:
        life = Life().started().quiet()
        life.machine.pending([], [])
        self.assertEqual((life.state, life.taken()), ("monitor", []))
        life.machine.changed()
        self.assertEqual((life.state, life.taken()), ("fetch_jobs", [("fetch",)]))

    def test_a_change_while_asking_asks_again(self) -> None:
        life = Life().started().quiet()
        life.machine.changed()
        self.assertEqual((life.state, life.taken()), ("fetch_jobs", [("fetch",)]))

    def test_a_change_while_selecting_is_not_lost(self) -> None:
        life = Life().selecting().quiet()
        life.machine.changed()
        life.machine.describe_failed("a", True)
        self.assertEqual((life.state, life.taken()), ("fetch_jobs", [("fetch",)]))

    def test_foreign_jobs_are_looked_at_once_and_left_alone(self) -> None:
        life = Life().started().quiet()
        life.machine.pending([summary("x", IN_PROGRESS)], [summary("a")])
        life.machine.described(execution("x", IN_PROGRESS, action="reboot"))
        self.assertEqual(life.taken(), [("describe", "x"), ("describe", "a")])
        life.machine.describe_failed("a", True)
        life.machine.changed()
        life.machine.pending([summary("x", IN_PROGRESS)], [])
        self.assertEqual((life.state, life.taken()), ("monitor", [("fetch",)]))

    def test_a_list_that_is_full_of_foreign_jobs_is_told_once(self) -> None:
        life = Life(job_id_prefix="ours").started().quiet()
        full = [summary(f"foreign-{number}") for number in range(FULL_LIST)]
        warnings = []
        for listed in (full, full, full[1:], full, full, [], full):
            with capturedLogs() as events:
                life.machine.pending([], listed)
            warnings.append(sum(event["log_level"] is LogLevel.warn for event in events))
            life.taken()
            life.machine.changed()
        self.assertEqual(warnings, [1, 0, 0, 1, 0, 0, 1])

    def test_foreign_jobs_that_are_gone_are_forgotten(self) -> None:
        life = Life().started()
        life.machine.pending([], [summary("x")])
        life.machine.described(execution("x", document_is="foreign", action=None))
        self.assertEqual(life.core.not_ours, {key("x")})
        life.machine.changed()
        life.machine.pending([], [])
        self.assertEqual(life.core.not_ours, set())

    def test_the_prefix_narrows(self) -> None:
        life = Life(job_id_prefix="upparat_").started().quiet()
        life.machine.pending([], [summary("a"), summary("upparat_b")])
        self.assertEqual(life.taken(), [("describe", "upparat_b")])

    def test_the_prefix_is_for_jobs_of_aws(self) -> None:
        life = Life(job_id_prefix="upparat_").started().quiet()
        life.machine.pending([], [summary("local@1")])
        self.assertEqual(life.taken(), [("describe", "local@1")])

    def test_an_ended_execution_is_skipped(self) -> None:
        life = Life().selecting().quiet()
        life.machine.described(execution(status=Status.CANCELED))
        self.assertEqual((life.state, life.taken()), ("monitor", []))

    def test_a_late_description_is_ignored(self) -> None:
        life = Life().selecting().quiet()
        life.machine.described(execution("other"))
        life.machine.describe_failed("other", True)
        self.assertEqual((life.state, life.taken()), ("select_job", []))

    def test_in_progress_before_queued(self) -> None:
        life = Life().started().quiet()
        life.machine.pending([summary("p", IN_PROGRESS)], [summary("q")])
        life.machine.described(execution("p", IN_PROGRESS, "download_progress"))
        self.assertEqual(
            life.taken(),
            [("describe", "p"), ("follow", "p"), ("record working", "p"), ("run", "download", "p")],
        )

    def test_a_queued_job_that_was_started_meanwhile_is_continued(self) -> None:
        life = Life().selecting().quiet()
        life.machine.described(execution(status=IN_PROGRESS, state="download_start"))
        self.assertEqual(life.state, "download")

    def test_a_bad_document_is_rejected_and_the_next_one_runs(self) -> None:
        life = Life().selecting().quiet()
        life.machine.described(execution(version=None, file="ftp://x"))
        problems = "version: is missing; file: must be an https: or http: URL"
        self.assertEqual(
            life.taken(), [("report", "a", "invalid_job_document", problems), ("fetch",)]
        )
        life.machine.pending([], [summary("a"), summary("b")])
        self.assertEqual(life.taken(), [("describe", "b")])

    def test_what_is_remembered_comes_first_and_the_others_after_it(self) -> None:
        life = Life().started(Memory(key("a", queued_at=50))).quiet()
        life.machine.pending([summary("b", IN_PROGRESS)], [summary("a"), summary("c")])
        for asked in ("a", "b", "a", "c"):
            self.assertEqual(life.taken(), [("describe", asked)])
            life.machine.describe_failed(asked, False)

    def test_what_has_ended_is_not_run_again(self) -> None:
        life = Life().verifying()
        life.machine.version_known("2.0")
        life.quiet().machine.pending([summary("a", IN_PROGRESS)], [summary("a")])
        self.assertEqual((life.state, life.taken()), ("monitor", []))

    def test_what_has_ended_is_known_by_its_description_too(self) -> None:
        life = Life().verifying()
        life.machine.version_known("2.0")
        life.quiet().machine.pending([], [JobExecutionSummary(ExecutionKey("a", 0, 0), QUEUED)])
        life.machine.described(execution())
        self.assertEqual((life.state, life.taken()), ("monitor", [("describe", "a")]))


class MemoryTests(SynchronousTestCase):
    """What the device remembers of an execution that AWS does not list."""

    def remembering(self) -> Life:
        life = Life().started(Memory(key("a"))).quiet()
        life.machine.pending([], [summary("b")])
        return life

    forgotten = (("discard", "a"), ("clear record",), ("describe", "b"))

    def test_it_is_asked_for_first(self) -> None:
        self.assertEqual(self.remembering().taken(), [("describe", "a")])

    def test_ended_meanwhile(self) -> None:
        life = self.remembering().quiet()
        life.machine.describe_failed("a", True)
        self.assertEqual(life.taken(), list(self.forgotten))
        self.assertIsNone(life.core.memory)

    def test_what_cannot_be_asked_for_is_not_forgotten(self) -> None:
        life = self.remembering().quiet()
        life.machine.describe_failed("a", False)
        self.assertEqual(life.taken(), [("describe", "b")])
        self.assertEqual(life.core.memory, Memory(key("a")))

    def test_a_foreign_job_of_the_same_name_has_taken_its_place(self) -> None:
        life = Life().started(Memory(key("a"))).quiet()
        life.core.not_ours.add(key("a", queued_at=200))
        life.machine.pending([], [summary("a", queued_at=200)])
        self.assertEqual(life.taken(), [("describe", "a")])
        life.machine.described(execution("a", queued_at=200, action="reboot"))
        self.assertEqual(life.taken(), [("discard", "a"), ("clear record",)])

    def test_another_execution_of_its_job_is_queued(self) -> None:
        """Its file goes, though another job's turn comes first."""
        life = Life().started(Memory(key("a"))).quiet()
        life.machine.pending([], [summary("b"), summary("a", queued_at=200)])
        life.machine.described(execution("a", queued_at=200))
        self.assertEqual(life.taken(), [("describe", "a"), *self.forgotten])

    def test_described_as_ended(self) -> None:
        life = self.remembering().quiet()
        life.machine.described(execution("a", Status.CANCELED))
        self.assertEqual(life.taken(), list(self.forgotten))

    def test_still_in_progress(self) -> None:
        life = self.remembering().quiet()
        life.machine.described(execution("a", IN_PROGRESS))
        self.assertEqual(life.state, "download")

    def test_hidden_by_a_maintenance_window(self) -> None:
        life = self.remembering().quiet()
        life.machine.described(execution("a"))
        self.assertEqual(life.taken(), [("describe", "b")])
        self.assertEqual(life.core.memory, Memory(key("a")))

    def test_nothing_untrue_is_logged_of_it(self) -> None:
        """AWS has described it, and another job is next."""
        life = self.remembering()
        with capturedLogs() as logs:
            life.machine.described(execution("a"))
            life.machine.described(execution("b"))
        self.assertEqual(life.state, "verify_job")
        self.assertEqual([event for event in logs if event["log_level"] is LogLevel.warn], [])


class SeveralInProgressTests(SynchronousTestCase):
    message = "Invalid: More than one job is IN PROGRESS: a, b"

    def both(self, memory: Memory | None) -> Life:
        life = Life().started(memory).quiet()
        life.machine.pending([summary("a", IN_PROGRESS), summary("b", IN_PROGRESS)], [])
        life.machine.described(execution("a", IN_PROGRESS))
        life.machine.described(execution("b", IN_PROGRESS))
        return life

    def test_all_fail_without_a_record(self) -> None:
        self.assertEqual(
            self.both(None).taken()[2:],
            [
                ("report", "a", "error_multiple_in_progress", self.message),
                ("report", "b", "error_multiple_in_progress", self.message),
                ("fetch",),
            ],
        )

    def test_the_remembered_one_goes_on(self) -> None:
        life = self.both(Memory(key("b")))
        self.assertEqual(
            life.taken()[2:],
            [("report", "a", "error_multiple_in_progress", self.message), ("fetch",)],
        )
        life.machine.pending([summary("a", IN_PROGRESS), summary("b", IN_PROGRESS)], [])
        life.machine.described(execution("b", IN_PROGRESS))
        self.assertEqual(life.state, "download")

    def test_one_of_ours_and_a_foreign_one_are_no_conflict(self) -> None:
        life = Life().started().quiet()
        life.machine.pending([summary("x", IN_PROGRESS), summary("b", IN_PROGRESS)], [])
        life.machine.described(execution("x", IN_PROGRESS, action="other"))
        life.machine.described(execution("b", IN_PROGRESS))
        self.assertEqual(life.state, "download")

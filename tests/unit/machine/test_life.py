"""The machine on fakes: for each transition the ordered list of effects."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution, key
from tests.unit.machine.bench import IN_PROGRESS, QUEUED, Life, ended, summary
from upparat.job import Downgrades, ExecutionKey, Hook, JobExecutionSummary, State, Status
from upparat.machine.life import MAX_URL_REQUESTS
from upparat.machine.model import FULL_LIST
from upparat.ports import Installation, Memory, Stage
from upparat.snapshots import EndedJob, WaitKind


class HappyPathTests(SynchronousTestCase):
    def test_soft_restart(self) -> None:
        life = Life()
        step = life.machine
        step.start(None)
        self.assertEqual(life.taken(), [("fetch",)])
        step.pending([], [summary()])
        self.assertEqual(life.taken(), [("describe", "a")])
        step.described(execution())
        self.assertEqual(
            life.taken(), [("follow", "a"), ("record working", "a"), ("run", "version", "a")]
        )
        step.version_known("1.0")
        self.assertEqual(life.taken(), [("run", "download", "a")])
        step.download_allowed()
        self.assertEqual(
            life.taken(),
            [("report", "a", "download_start", "none"), ("download", "a", "https://s3/f?secret")],
        )
        step.progressed(5, None)
        step.progressed(10, 20)
        self.assertEqual(
            life.taken(),
            [
                ("report", "a", "download_progress", '{"downloaded_bytes": 5}'),
                (
                    "report",
                    "a",
                    "download_progress",
                    '{"downloaded_bytes": 10, "total_bytes": 20}',
                ),
            ],
        )
        step.downloaded("/file")
        self.assertEqual(
            life.taken(),
            [
                ("installation", "installing"),
                ("report", "a", "installation_start", "none"),
                ("run", "install", "a", "/file"),
            ],
        )
        step.install_output("50 %")
        self.assertEqual(life.taken(), [("report", "a", "installation_progress", "50 %")])
        step.installed()
        self.assertEqual(
            life.taken(), [("installation", "installed"), ("report", "a", "reboot_start", "none")]
        )
        step.delivered(State.INSTALLATION_START)
        self.assertEqual(life.taken(), [])
        step.delivered(State.REBOOT_START)
        self.assertEqual(life.taken(), [("record restarting", "a"), ("run", "restart", "a")])
        step.restarted()
        self.assertEqual(life.taken(), [("record restarted", "a"), ("timer", 10.0)])
        step.timeout()
        self.assertEqual(life.taken(), [("run", "version", "a")])
        step.version_known("2.0")
        self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])
        step.ready()
        self.assertEqual(
            life.taken(), [("installation", None), *ended("a", "complete_soft_restart")]
        )
        step.pending([], [])
        self.assertEqual(
            life.moves,
            [
                "fetch_jobs",
                "select_job",
                "verify_job",
                "download",
                "install",
                "restart",
                "verify_installation",
                "fetch_jobs",
                "monitor",
            ],
        )
        self.assertEqual(life.taken(), [])

    def test_after_a_reboot(self) -> None:
        life = Life().started().quiet()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        self.assertEqual(
            life.taken(),
            [
                ("describe", "a"),
                ("follow", "a"),
                ("record restarted", "a"),
                ("run", "version", "a"),
            ],
        )
        self.assertEqual(life.state, "verify_installation")
        life.machine.version_known("2.0")
        life.machine.ready()
        self.assertEqual(
            life.taken(),
            [
                ("installation", "restarted"),
                ("run", "ready", "a"),
                ("installation", None),
                *ended("a", "complete_ready"),
            ],
        )


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


class DowngradeTests(SynchronousTestCase):
    def refused(self, policy: Downgrades, version: str, **facts: Any) -> bool:
        """Whether 2.0 is refused on a device that runs ``version``."""
        life = Life(allow_downgrade=policy).selecting()
        life.machine.described(execution(**facts))
        if life.taken()[-1] != ("run", "version", "a"):
            self.assertEqual(life.state, "download")
            return False
        life.machine.version_known(version)
        if life.state == "download":
            return False
        message = f"Version '2.0' is older than '{version}', which runs"
        if not version:
            message = "The version that runs is not known: it may be newer"
        self.assertEqual(life.taken(), ended("a", "downgrade_refused", message))
        return True

    def test_an_older_version(self) -> None:
        self.assertFalse(self.refused(Downgrades.YES, "3.0"))
        self.assertTrue(self.refused(Downgrades.FORCED, "3.0"))
        self.assertTrue(self.refused(Downgrades.NO, "3.0"))

    def test_by_force(self) -> None:
        self.assertFalse(self.refused(Downgrades.YES, "3.0", force=True))
        self.assertFalse(self.refused(Downgrades.FORCED, "3.0", force=True))
        self.assertTrue(self.refused(Downgrades.NO, "3.0", force=True))

    def test_the_same_version_by_force(self) -> None:
        self.assertFalse(self.refused(Downgrades.NO, "2.0", force=True))

    def test_a_newer_version(self) -> None:
        for version in ("1.0", "2.0~rc1"):
            self.assertFalse(self.refused(Downgrades.NO, version))

    def test_no_answer_is_no_permission(self) -> None:
        self.assertFalse(self.refused(Downgrades.YES, ""))
        self.assertFalse(self.refused(Downgrades.FORCED, "", force=True))
        self.assertTrue(self.refused(Downgrades.FORCED, ""))
        self.assertTrue(self.refused(Downgrades.NO, "", force=True))

    def test_a_version_hook_that_fails_is_no_permission(self) -> None:
        life = Life(allow_downgrade=Downgrades.NO).selecting()
        life.machine.described(execution(force=True))
        life.quiet().machine.hook_failed(Hook.VERSION, "Exit code: 1", {})
        self.assertEqual(life.taken(), ended("a", "version_hook_failed", "Exit code: 1"))

    def test_a_job_that_has_begun(self) -> None:
        """It may have begun before the owner has changed the option."""
        for version, refused in (("3.0", True), ("2.0", False), ("1.0", False)):
            life = Life(allow_downgrade=Downgrades.NO).started()
            life.machine.pending([summary(status=IN_PROGRESS)], [])
            life.machine.described(execution(status=IN_PROGRESS))
            life.machine.version_known(version)
            self.assertEqual(life.state, "fetch_jobs" if refused else "download")

    def test_without_a_version_hook(self) -> None:
        life = Life(frozenset({Hook.INSTALL}), allow_downgrade=Downgrades.NO).selecting()
        life.machine.described(execution())
        self.assertEqual(life.state, "download")


class VerifyJobTests(SynchronousTestCase):
    def test_same_version(self) -> None:
        life = Life().verifying().quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.state, "fetch_jobs")
        self.assertEqual(life.taken(), ended("a", "version_already_installed"))

    def test_version_hook_fails(self) -> None:
        life = Life().verifying().quiet()
        life.machine.hook_failed(Hook.VERSION, "Exit code: 1", {})
        self.assertEqual(life.taken(), ended("a", "version_hook_failed", "Exit code: 1"))

    def test_force_skips_version_and_download_hooks(self) -> None:
        life = Life().selecting().quiet()
        life.machine.described(execution(force=True))
        self.assertEqual(
            life.taken(),
            [
                ("follow", "a"),
                ("record working", "a"),
                ("report", "a", "download_start", "none"),
                ("download", "a", "https://s3/f?secret"),
            ],
        )

    def test_no_version_hook(self) -> None:
        life = Life(frozenset({Hook.DOWNLOAD})).selecting().quiet()
        life.machine.described(execution())
        self.assertEqual(life.taken()[-1], ("run", "download", "a"))

    def test_the_record_alone_leads_to_verification(self) -> None:
        life = Life().started(Memory(key(), restart_accepted=True)).quiet()
        life.machine.pending([], [summary()])
        life.machine.described(execution())
        self.assertEqual(life.state, "verify_installation")

    def test_a_record_of_another_execution_does_not(self) -> None:
        life = Life().started(Memory(key(number=2), restart_accepted=True)).quiet()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        self.assertEqual(life.taken(), [("describe", "a")])
        life.machine.described(execution(status=IN_PROGRESS, state="download_start"))
        self.assertEqual(life.taken()[:2], [("discard", "a"), ("clear record",)])
        self.assertEqual(life.state, "download")

    def test_a_list_that_does_not_say_which_execution_it_is(self) -> None:
        life = Life().started(Memory(key(), restart_accepted=True)).quiet()
        life.machine.pending([JobExecutionSummary(ExecutionKey("a", 0, 0), IN_PROGRESS)], [])
        self.assertEqual(life.taken(), [("describe", "a")])
        life.machine.described(execution(status=IN_PROGRESS))
        self.assertEqual(life.state, "verify_installation")

    def test_cancelled(self) -> None:
        life = Life().verifying().quiet()
        life.machine.cancelled()
        self.assertEqual(life.state, "wind_down")


class DownloadTests(SynchronousTestCase):
    def test_download_hook_fails(self) -> None:
        life = Life().asking_to_download().quiet()
        life.machine.hook_failed(Hook.DOWNLOAD, "Exit code: 1", {})
        self.assertEqual(life.taken(), ended("a", "download_hook_failed", "Exit code: 1"))

    def test_expired_url_is_asked_for_again(self) -> None:
        life = Life().downloading().quiet()
        life.machine.url_expired("HTTP 403")
        self.assertEqual(
            life.taken(), [("report", "a", "download_interrupt", "HTTP 403"), ("describe", "a")]
        )
        life.machine.described(execution(status=IN_PROGRESS, file="https://s3/f?new"))
        self.assertEqual(life.taken(), [("download", "a", "https://s3/f?new")])

    def test_the_fresh_document_makes_no_sense(self) -> None:
        life = Life().downloading().quiet()
        life.machine.described(execution(status=IN_PROGRESS, file="${aws:x}"))
        problem = "file: holds a placeholder that was not replaced"
        self.assertEqual(life.taken(), ended("a", "download_failed", problem))

    def test_the_execution_is_over_when_asked_again(self) -> None:
        for answer in (execution(status=Status.CANCELED), execution(queued_at=200)):
            life = Life().downloading().quiet()
            life.machine.described(answer)
            self.assertEqual(life.state, "wind_down")
        life = Life().downloading().quiet()
        life.machine.describe_failed("a", True)
        self.assertEqual(life.state, "wind_down")

    def test_failed(self) -> None:
        life = Life().downloading().quiet()
        life.machine.download_failed(State.INSUFFICIENT_STORAGE, "full")
        self.assertEqual(life.taken(), ended("a", "insufficient_storage", "full"))

    def test_no_install_hook_keeps_the_file(self) -> None:
        life = Life(frozenset()).started()
        life.machine.pending([], [summary()])
        life.machine.described(execution())
        life.quiet().machine.downloaded("/file")
        self.assertEqual(life.taken(), ended("a", "no_installation_hook_provided", discard=False))


class StreamTests(SynchronousTestCase):
    """The install hook reads the file while it comes."""

    def test_the_hook_begins_when_the_stream_is_ready(self) -> None:
        life = Life().downloading().quiet()
        life.machine.stream_ready()
        effects = [
            ("installation", "installing"),
            ("report", "a", "installation_start", "none"),
            ("run", "install", "a", "-"),
        ]
        self.assertEqual((life.state, life.taken()), ("install", effects))

    def test_progress_of_both(self) -> None:
        life = Life().streaming().quiet()
        life.machine.progressed(5, 10)
        life.machine.install_output("5 of 10 blocks")
        figures = '{"downloaded_bytes": 5, "total_bytes": 10}'
        self.assertEqual(
            life.taken(),
            [
                ("report", "a", "download_progress", figures),
                ("report", "a", "installation_progress", "5 of 10 blocks"),
            ],
        )

    def test_a_fresh_url(self) -> None:
        life = Life().streaming().quiet()
        life.machine.url_expired("HTTP 403")
        self.assertEqual(
            life.taken(), [("report", "a", "download_interrupt", "HTTP 403"), ("describe", "a")]
        )
        for _ in range(2):  # the second answer is to nobody's question
            life.machine.described(execution(status=IN_PROGRESS, file="https://s3/f?new"))
        self.assertEqual(life.taken(), [("download", "a", "https://s3/f?new")])

    def test_the_fresh_document_makes_no_sense(self) -> None:
        life = Life().streaming()
        life.machine.url_expired("HTTP 403")
        life.quiet().machine.described(execution(status=IN_PROGRESS, file="${aws:x}"))
        problem = "file: holds a placeholder that was not replaced"
        self.assertEqual(life.taken(), [("release",), *ended("a", "download_failed", problem)])

    def test_the_execution_is_over_when_asked_again(self) -> None:
        for tell in (
            lambda life: life.machine.described(execution(status=Status.CANCELED)),
            lambda life: life.machine.describe_failed("a", True),
        ):
            life = Life().streaming()
            tell(life)
            self.assertEqual(life.state, "install")
            life.machine.url_expired("HTTP 403")
            tell(life)
            self.assertEqual(life.state, "wind_down")

    def test_the_hook_is_let_go_of_once(self) -> None:
        """The execution is over in AWS: its hook has no file to wait for."""
        for tell in (
            lambda life: life.machine.described(execution(status=Status.CANCELED)),
            lambda life: life.machine.describe_failed("a", True),
        ):
            life = Life().streaming()
            life.machine.url_expired("HTTP 403")
            tell(life.quiet())
            self.assertEqual(life.taken().count(("release",)), 1)
            life.machine.released()  # nothing was restarted, so nothing has to settle
            self.assertEqual(life.taken(), [("discard", "a"), ("clear record",), ("fetch",)])

    def test_the_hook_waits_for_a_fresh_url(self) -> None:
        life = Life().streaming()
        life.quiet().machine.timeout()
        self.assertEqual(life.taken(), [])
        life.machine.url_expired("HTTP 403")
        for _ in range(MAX_URL_REQUESTS - 1):
            life.quiet().machine.describe_failed("a", False)
            self.assertEqual(life.taken(), [("timer", 60.0)])
            life.machine.timeout()
            self.assertEqual(life.taken(), [("describe", "a")])
        life.machine.describe_failed("a", False)
        message = "AWS gives no fresh URL for the file"
        self.assertEqual(life.taken(), [("release",), *ended("a", "download_failed", message)])

    def test_the_file_will_not_come(self) -> None:
        life = Life().streaming().quiet()
        life.machine.download_failed(State.VERIFICATION_FAILED, "sha256: …")
        self.assertEqual(life.taken(), ended("a", "verification_failed", "sha256: …"))


class RestartTests(SynchronousTestCase):
    def test_install_hook_fails(self) -> None:
        life = Life().installing().quiet()
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 1", {})
        self.assertEqual(life.taken(), ended("a", "installation_hook_failed", "Exit code: 1"))

    def test_no_restart_hook(self) -> None:
        life = Life(frozenset(Hook) - {Hook.RESTART}).installing().quiet()
        life.machine.installed()
        self.assertEqual(
            life.taken(),
            [
                ("installation", "installed"),
                ("installation", None),
                *ended("a", "no_restart_hook_provided"),
            ],
        )

    def test_restart_hook_fails(self) -> None:
        life = Life().restart_running().quiet()
        life.machine.hook_failed(Hook.RESTART, "Timeout after 60s", {})
        self.assertEqual(life.taken(), ended("a", "restart_hook_failed", "Timeout after 60s"))


class VerifyInstallationTests(SynchronousTestCase):
    def rebooted(self, hooks: frozenset[Hook], memory: Memory | None = None) -> Life:
        life = Life(hooks).started(memory)
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.quiet().machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        return life

    def test_no_version_hook(self) -> None:
        life = self.rebooted(frozenset({Hook.READY}))
        self.assertEqual(
            life.taken(),
            [
                ("follow", "a"),
                ("record restarted", "a"),
                *ended("a", "complete_no_version_check"),
            ],
        )

    def test_nothing_is_complete_while_the_restart_is_not(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        life = self.rebooted(frozenset({Hook.RESTART}), memory)
        self.assertEqual(life.taken(), [("follow", "a"), ("report", "a", "reboot_start", "none")])

    def test_soft_restart_without_a_version_hook_is_not_called_verified(self) -> None:
        life = Life(frozenset({Hook.INSTALL, Hook.RESTART})).started()
        life.machine.pending([], [summary()])
        life.machine.described(execution())
        life.machine.downloaded("/file")
        life.machine.installed()
        life.machine.delivered(State.REBOOT_START)
        life.machine.restarted()
        life.quiet().machine.timeout()
        self.assertEqual(
            life.taken(), [("installation", None), *ended("a", "complete_no_version_check")]
        )

    def test_no_ready_hook(self) -> None:
        life = self.rebooted(frozenset({Hook.VERSION})).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), ended("a", "complete_no_ready_check"))

    def test_a_reboot_with_the_wrong_version_fails_at_once(self) -> None:
        life = self.rebooted(frozenset(Hook)).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))

    def test_within_the_same_boot_the_version_may_still_come(self) -> None:
        memory = Memory(
            key(), restart_accepted=True, same_boot=True, restart_attempts=1, restart_done=True
        )
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("timer", 60.0)])

    def test_a_restart_that_was_cut_short_is_repeated(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=2)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])
        life.machine.delivered(State.REBOOT_START)
        self.assertEqual(life.taken(), [("record restarting", "a"), ("run", "restart", "a")])

    def test_a_restart_hook_that_outlives_the_agent_has_its_time(self) -> None:
        """The version may change until it has ended, and for ``restart_timeout`` afterwards."""
        for unfinished in (False, True):
            memory = Memory(
                key(), True, same_boot=True, restart_attempts=1, restart_done=not unfinished
            )
            life = self.rebooted(frozenset(Hook), memory).quiet()
            life.hooks.lingering = True
            for _ in range(10):
                life.machine.version_known("1.0")
                self.assertEqual(life.taken(), [("timer", 60.0)])
                life.timer.time += 60
                life.machine.timeout()
                self.assertEqual(life.taken(), [("run", "version", "a")])
            life.hooks.lingering = False
            life.machine.version_known("1.0")
            self.assertEqual(
                life.taken(),
                [("report", "a", "reboot_start", "none")] if unfinished else [("timer", 60.0)],
            )

    def test_the_time_for_the_version_counts_from_its_end(self) -> None:
        memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
        life = self.rebooted(frozenset(Hook), memory)
        life.hooks.lingering = True
        life.machine.version_known("1.0")
        life.hooks.lingering = False
        life.timer.time += 60 + 300 - 0.5
        life.quiet().machine.version_known("1.0")
        self.assertEqual(life.taken(), [("timer", 0.5)])
        life.timer.time += 0.5
        life.machine.version_known("1.0")
        mismatch = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", mismatch))

    def test_its_right_version_is_not_waited_for(self) -> None:
        memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.hooks.lingering = True
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])

    def test_a_restart_that_was_never_begun_is_not_asked_about(self) -> None:
        """What is installed may say the new version before anybody runs it."""
        life = self.rebooted(frozenset(Hook), Memory(key(), same_boot=True))
        self.assertEqual(life.taken(), [("follow", "a"), ("report", "a", "reboot_start", "none")])

    def test_restarts_that_cannot_be_counted_are_not_begun(self) -> None:
        life = Life().restarting().quiet()
        life.record.writable = False
        life.machine.delivered(State.REBOOT_START)
        self.assertEqual(
            life.taken(),
            [
                ("record restarting", "a"),
                *ended("a", "restart_hook_failed", "The record cannot be written"),
            ],
        )

    def test_the_file_is_not_needed_any_more(self) -> None:
        life = Life().started()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state="reboot_start", file="${no}"))
        self.assertEqual(life.state, "verify_installation")

    def test_a_power_cut_before_the_restart_hook_is_no_restart(self) -> None:
        memory = Memory(key(), same_boot=False)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])

    def test_a_power_cut_in_the_restart_hook_may_have_been_the_restart(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=1)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])

    def test_a_power_cut_in_the_restart_hook_that_was_none_is_made_up_for(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=2)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])

    def test_power_cuts_in_each_run_of_the_restart_hook_are_a_mismatch(self) -> None:
        """Reboots without a last word look the same: nothing is told that is not known."""
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=3)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))

    def test_an_orderly_reboot_with_the_wrong_version_fails_at_once(self) -> None:
        memory = Memory(key(), True, same_boot=False, restart_attempts=1, restart_done=True)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))

    def test_a_power_cut_in_the_restart_hook_counts_where_no_version_is_known(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=1)
        life = self.rebooted(frozenset({Hook.RESTART}), memory)
        self.assertEqual(life.taken()[1:], ended("a", "complete_no_version_check"))

    def test_a_restart_that_was_cut_short_may_have_worked(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])

    def test_a_restart_hook_that_waits_has_restarted_nothing(self) -> None:
        """Whatever the version hook reads, and however often the agent was started meanwhile."""
        for same_boot in (True, False):
            memory = Memory(
                key(), True, same_boot=same_boot, restart_attempts=3, restart_waiting=True
            )
            life = self.rebooted(frozenset(Hook), memory)
            self.assertEqual(life.taken()[1:], [("report", "a", "reboot_start", "none")])

    def test_a_success_that_was_not_delivered_is_looked_at_again(self) -> None:
        success = State.COMPLETE_SOFT_RESTART
        memory = Memory(key(), True, same_boot=True, restart_done=True, verified=success)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), ended("a", "complete_soft_restart"))

    def test_after_another_reboot_the_ready_hook_is_asked_again(self) -> None:
        success = State.COMPLETE_SOFT_RESTART
        memory = Memory(key(), True, same_boot=False, restart_done=True, verified=success)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("2.0")
        self.assertIn(("run", "ready", "a"), life.taken())

    def test_a_restart_is_not_repeated_for_ever(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=3)
        life = self.rebooted(frozenset(Hook), memory).quiet()
        life.machine.version_known("1.0")
        message = "The agent was stopped in each of 3 runs of the restart hook"
        self.assertEqual(life.taken(), ended("a", "restart_hook_failed", message))

    def test_soft_restart_asks_until_the_time_is_over(self) -> None:
        life = Life(restart_timeout=100.0).checking().quiet()
        life.machine.version_known("1.0")
        life.timer.time += 60
        life.machine.timeout()
        life.machine.version_known("1.0")
        life.timer.time += 30
        life.machine.timeout()
        life.machine.version_known("1.0")
        self.assertEqual(
            life.taken(),
            [
                ("timer", 60.0),
                ("run", "version", "a"),
                ("timer", 30.0),
                ("run", "version", "a"),
                *ended("a", "version_mismatch", "Expected version '2.0', got '1.0'"),
            ],
        )

    def test_hooks_fail(self) -> None:
        for hook, state in (
            (Hook.VERSION, "version_hook_failed"),
            (Hook.READY, "ready_hook_failed"),
        ):
            life = Life().checking().quiet()
            life.machine.hook_failed(hook, "Exit code: 7", {})
            self.assertEqual(life.taken(), ended("a", state, "Exit code: 7"))


class WithoutMemoryTests(SynchronousTestCase):
    """The status details say that the restart was announced. The device's memory of the update went
    when AWS did not describe it, and another job was begun."""

    def life(self, stage: Stage | None) -> Life:
        life = Life().started(None)
        if stage is not None:
            life.record.installation = Installation("2.0", stage)
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.quiet().machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        return life

    def test_what_is_installed_only_is_restarted(self) -> None:
        """The version hook may read what is on the disk, so it is not asked before."""
        life = self.life(Stage.INSTALLED)
        self.assertEqual(life.taken()[-1], ("report", "a", "reboot_start", "none"))
        self.assertEqual(life.state, "restart")

    def test_anything_else_is_checked(self) -> None:
        for stage in (None, Stage.INSTALLING, Stage.RESTARTED):
            life = self.life(stage)
            self.assertEqual(life.taken()[-1], ("run", "version", "a"))


class FactsTests(SynchronousTestCase):
    """What the report on the end of an execution says besides."""

    def test_the_versions_and_the_agent(self) -> None:
        life = Life(agent="2.0.1").installing()
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 7", {"exit_code": "7"})
        self.assertEqual(
            life.jobs.facts, {"exit_code": "7", "agent": "2.0.1", "from": "1.0", "to": "2.0"}
        )

    def test_after_a_start(self) -> None:
        memory = Memory(key(), True, restart_attempts=1, restart_done=True, replaced="1.0")
        life = Life().started(memory)
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        life.machine.version_known("3.0")
        self.assertEqual((life.state, life.jobs.facts["from"]), ("fetch_jobs", "1.0"))

    def test_not_of_another_job(self) -> None:
        life = Life().installing()
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 7", {})
        life.machine.pending([], [summary("b")])
        life.machine.described(execution("b", version="4.0"))
        life.machine.hook_failed(Hook.VERSION, "Exit code: 1", {})
        self.assertEqual((life.jobs.facts["from"], life.jobs.facts["to"]), ("", "4.0"))

    def test_without_a_version(self) -> None:
        life = Life(agent="2.0.1").started(None)
        life.machine.pending([], [summary()])
        life.machine.described(execution(version=None))
        self.assertEqual(life.jobs.facts, {"agent": "2.0.1"})


class UnconfirmedTests(SynchronousTestCase):
    """What an earlier job has begun, and nobody has confirmed, is no success of the next one."""

    def next_job(self, stage: Stage, version: str = "2.0", **facts: Any) -> Life:
        life = Life()
        life.record.installation = Installation(version, stage)
        life.selecting().machine.described(execution(**facts))
        life.quiet()
        return life

    def test_the_ready_hook_is_asked_again(self) -> None:
        life = self.next_job(Stage.RESTARTED)
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("run", "version", "a")])
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("run", "ready", "a")])
        life.machine.ready()
        self.assertEqual(life.taken(), [("installation", None), *ended("a", "complete_ready")])

    def test_a_ready_hook_that_fails_again(self) -> None:
        life = self.next_job(Stage.RESTARTED)
        life.machine.version_known("2.0")
        life.machine.version_known("2.0")
        life.quiet().machine.hook_failed(Hook.READY, "Exit code: 1", {})
        self.assertEqual(life.taken(), ended("a", "ready_hook_failed", "Exit code: 1"))
        self.assertEqual(life.record.installation, Installation("2.0", Stage.RESTARTED))

    def test_the_restart_is_made_up_for(self) -> None:
        life = self.next_job(Stage.INSTALLED)
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])
        life.machine.delivered(State.REBOOT_START)
        self.assertEqual(life.taken(), [("record restarting", "a"), ("run", "restart", "a")])

    def test_half_an_installation_is_installed_again(self) -> None:
        life = self.next_job(Stage.INSTALLING)
        life.machine.version_known("2.0")
        self.assertEqual((life.state, life.taken()), ("download", [("run", "download", "a")]))

    def test_another_version_is_on_its_way(self) -> None:
        for stage in Stage:
            life = self.next_job(stage, "3.0")
            life.machine.version_known("2.0")
            self.assertEqual(life.taken(), ended("a", "version_already_installed"))
            self.assertEqual(life.record.installation, Installation("3.0", stage))

    def test_the_old_version_runs(self) -> None:
        for stage in Stage:
            life = self.next_job(stage)
            life.machine.version_known("1.0")
            self.assertEqual(life.state, "download")

    def test_confirmed_by_every_success_of_an_installation(self) -> None:
        for hooks, events in (
            (frozenset(Hook), ("version_known", "ready")),
            (frozenset(Hook) - {Hook.READY}, ("version_known",)),
        ):
            life = Life(hooks).checking()
            for event in events:
                getattr(life.machine, event)(*(["2.0"] if event == "version_known" else []))
            self.assertEqual((life.state, life.record.installation), ("fetch_jobs", None))

    def test_not_by_a_failure(self) -> None:
        life = Life().installing()
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 1", {})
        self.assertEqual(life.record.installation, Installation("2.0", Stage.INSTALLING))
        life = Life().restart_running()
        life.machine.hook_failed(Hook.RESTART, "Exit code: 1", {})
        self.assertEqual(life.record.installation, Installation("2.0", Stage.INSTALLED))
        life = Life().checking()
        life.machine.cancelled()
        self.assertEqual(life.record.installation, Installation("2.0", Stage.INSTALLED))

    def test_not_by_a_job_that_installs_nothing(self) -> None:
        life = Life(frozenset())
        life.record.installation = Installation("2.0", Stage.INSTALLED)
        life.downloading_without_hooks().machine.downloaded("/file")
        self.assertIn(("report", "a", "no_installation_hook_provided", "none"), life.taken())
        self.assertEqual(life.record.installation, Installation("2.0", Stage.INSTALLED))


class FreshUrlTests(SynchronousTestCase):
    """AWS does not describe the job whose URL has expired."""

    def test_it_is_asked_for_again(self) -> None:
        life = Life().downloading().quiet()
        life.machine.url_expired("HTTP 403")
        life.machine.describe_failed("a", False)
        life.machine.timeout()
        self.assertEqual(
            life.taken(),
            [
                ("report", "a", "download_interrupt", "HTTP 403"),
                ("describe", "a"),
                ("timer", 60.0),
                ("describe", "a"),
            ],
        )
        life.machine.described(execution())
        self.assertEqual(life.taken(), [("download", "a", "https://s3/f?secret")])

    def test_but_not_for_ever(self) -> None:
        for life in (Life().downloading(), Life().streaming()):
            life.machine.url_expired("HTTP 403")
            for _ in range(MAX_URL_REQUESTS - 1):
                life.machine.describe_failed("a", False)
                life.machine.timeout()
            life.quiet().machine.describe_failed("a", False)
            self.assertEqual(life.state, "fetch_jobs")
            message = "AWS gives no fresh URL for the file"
            self.assertIn(("report", "a", "download_failed", message), life.taken())

    def test_an_answer_renews_the_patience(self) -> None:
        life = Life().downloading()
        for _ in range(2):
            life.machine.url_expired("HTTP 403")
            for _ in range(MAX_URL_REQUESTS - 1):
                life.machine.describe_failed("a", False)
                life.machine.timeout()
            life.machine.described(execution())
            self.assertEqual(life.state, "download")
        life.machine.url_expired("HTTP 403")
        for _ in range(MAX_URL_REQUESTS - 1):
            life.machine.describe_failed("a", False)
        self.assertEqual(life.state, "download")
        life.machine.describe_failed("a", False)
        self.assertEqual(life.state, "fetch_jobs")

    def test_the_install_hook_ends_meanwhile(self) -> None:
        life = Life().streaming()
        life.machine.url_expired("HTTP 403")
        life.machine.describe_failed("a", False)
        life.quiet().machine.hook_failed(Hook.INSTALL, "Exit code: 1", {})
        self.assertEqual(life.taken()[0], ("cancel timer",))

    def test_a_job_that_has_ended(self) -> None:
        life = Life().downloading()
        life.machine.url_expired("HTTP 403")
        life.machine.describe_failed("a", True)
        self.assertEqual(life.state, "wind_down")

    def test_a_restart_that_cannot_be_announced(self) -> None:
        life = Life().restarting().quiet()
        life.machine.undeliverable(State.INSTALLATION_START)
        self.assertEqual(life.taken(), [])
        life.machine.undeliverable(State.REBOOT_START)
        message = "AWS does not accept reboot_start"
        self.assertEqual(life.taken(), ended("a", "restart_hook_failed", message))


class CancelTests(SynchronousTestCase):
    def test_in_every_state_of_a_job(self) -> None:
        for life, restarting in (
            (Life().verifying(), False),
            (Life().asking_to_download(), False),
            (Life().downloading(), False),
            (Life().installing(), False),
            (Life().restarting(), True),
            (Life().restart_running(), True),
            (Life().checking(), True),
        ):
            life.quiet().machine.cancelled()
            self.assertEqual(life.state, "wind_down")
            self.assertEqual(
                life.taken(),
                [
                    ("unfollow",),
                    ("cancel timer",),
                    ("stop download",),
                    ("release",),
                ],
            )
            life.machine.installed()
            self.assertEqual(life.taken(), [])
            life.machine.released()
            if restarting:
                self.assertEqual(life.taken(), [("timer", 10.0)])
                life.machine.timeout()
            self.assertEqual(life.taken(), [("discard", "a"), ("clear record",), ("fetch",)])
            self.assertEqual(life.state, "fetch_jobs")

    def test_while_the_agent_was_away_in_its_restart_hook(self) -> None:
        """The device may be going down: the next job begins after that, or after the grace."""
        went_down = [("discard", "a"), ("clear record",), ("fetch",)]
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        for answer in (None, execution(status=Status.CANCELED), execution(queued_at=200)):
            life = Life().started(memory).quiet()
            life.machine.pending([summary()], [])
            if answer is None:
                life.machine.describe_failed("a", True)
            else:
                life.machine.described(answer)
            self.assertEqual(life.state, "wind_down")
            life.quiet().machine.released()
            self.assertEqual(life.taken(), [("timer", 10.0)])
            life.machine.timeout()
            self.assertEqual(life.taken(), went_down)
            self.assertIsNone(life.core.memory)

    def test_another_job_while_the_device_may_be_going_down(self) -> None:
        """AWS does not say what has become of the one in the restart."""
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        life = Life().started(memory).quiet()
        life.machine.pending([], [summary("b")])
        life.machine.describe_failed("a", False)
        life.machine.described(execution("b"))
        self.assertEqual(life.state, "wind_down")

    def test_a_restart_hook_that_waits_takes_nothing_down(self) -> None:
        for memory in (
            Memory(key(), True, same_boot=True, restart_attempts=1, restart_waiting=True),
            Memory(key(), True, same_boot=True),
            Memory(key(), True, restart_attempts=1),
        ):
            life = Life().started(memory).quiet()
            life.machine.pending([summary()], [])
            life.machine.describe_failed("a", True)
            self.assertEqual(life.taken()[1:], [("discard", "a"), ("clear record",)])
            self.assertEqual(life.state, "monitor")

    def test_nothing_begins_while_a_restart_hook_of_an_earlier_agent_runs(self) -> None:
        life = Life().checking()
        life.hooks.lingering = True
        life.machine.cancelled()
        life.quiet().machine.released()
        life.machine.timeout()
        self.assertEqual(life.taken(), [("timer", 10.0)] * 2)
        life.hooks.lingering = False
        life.machine.timeout()
        self.assertEqual(life.taken(), [("timer", 10.0)])
        life.machine.timeout()
        self.assertEqual(life.taken(), [("discard", "a"), ("clear record",), ("fetch",)])

    def test_without_a_grace_it_is_looked_at_now_and_then(self) -> None:
        life = Life(restart_grace=0.0).checking()
        life.hooks.lingering = True
        life.machine.cancelled()
        life.quiet().machine.released()
        self.assertEqual(life.taken(), [("timer", 1.0)])


class StopTests(SynchronousTestCase):
    def test_only_interruptions_are_reported(self) -> None:
        stopped = "The agent was stopped"
        download = [("report", "a", "download_interrupt", stopped)]
        installation = [("report", "a", "installation_interrupt", stopped)]
        for life, effects in (
            (Life(), []),
            (Life().started(), []),
            (Life().selecting(), []),
            (Life().verifying(), []),
            (Life().asking_to_download(), []),
            (Life().downloading(), download),
            (Life().installing(), installation),
            (Life().restarting(), []),
            (Life().restart_running(), []),
            (Life().checking(), []),
            (Life().winding_down(), []),
        ):
            life.quiet().machine.stop()
            self.assertEqual((life.state, life.taken()), ("stopped", effects))


class ObservedTests(SynchronousTestCase):
    """What others see of a job: the meaning of the timer, and the end."""

    def watched(self, life: Life) -> list[EndedJob]:
        ended: list[EndedJob] = []
        life.core.on_ended = ended.append
        return ended

    def waits(self, life: Life) -> tuple[WaitKind, str, float | None]:
        assert life.core.pause is not None
        return life.core.pause.kind, life.core.pause.why, life.core.pause.limit

    def test_the_device_may_go_down(self) -> None:
        life = Life().restart_running()
        life.machine.restarted()
        told = (WaitKind.RESTART_GRACE, "the device may be going down", None)
        self.assertEqual(self.waits(life), told)
        life = Life().restart_running()
        life.machine.cancelled()
        life.machine.released()
        self.assertEqual(self.waits(life), told)

    def test_the_version_may_still_change(self) -> None:
        life = Life(restart_timeout=300.0, restart_grace=10.0).checking()
        life.machine.version_known("1.0")
        limit = life.timer.time + 290.0
        why = "the version is '1.0', not '2.0'"
        self.assertEqual(self.waits(life), (WaitKind.RESTART_TIMEOUT, why, limit))

    def test_a_fresh_url_is_awaited(self) -> None:
        life = Life().downloading()
        life.machine.url_expired("HTTP 403")
        life.machine.describe_failed("a", False)
        self.assertEqual(self.waits(life)[0], WaitKind.FRESH_URL)

    def test_an_end(self) -> None:
        life = Life().installing()
        ended = self.watched(life)
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 1", {})
        failed = EndedJob(key("a"), "2.0", "FAILED", "installation_hook_failed", "Exit code: 1")
        self.assertEqual(ended, [failed])

    def test_a_rejection(self) -> None:
        life = Life().selecting()
        ended = self.watched(life)
        life.machine.described(execution(version=2))
        [job] = ended
        self.assertEqual((job.version, job.status), ("", "REJECTED"))

    def test_an_end_by_others(self) -> None:
        life = Life().installing()
        ended = self.watched(life)
        life.machine.cancelled()
        life.machine.released()
        message = "nothing more is done for it"
        self.assertEqual(ended, [EndedJob(key("a"), "2.0", "", "ended_by_others", message)])

    def test_an_end_while_the_agent_was_away(self) -> None:
        life = Life()
        ended = self.watched(life)
        life.started(Memory(key("a"))).machine.pending([], [])
        life.machine.describe_failed("a", True)
        message = "it ended while the agent was away"
        self.assertEqual(ended, [EndedJob(key("a"), "", "", "ended_by_others", message)])

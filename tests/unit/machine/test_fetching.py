"""Whether a file is needed, and its download."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import USUAL_HOOKS, execution, key
from tests.unit.machine.bench import IN_PROGRESS, Life, ended, summary
from upparat.job import ExecutionKey, Hook, JobExecutionSummary, State, Status
from upparat.machine.fetching import MAX_URL_REQUESTS
from upparat.ports import Installation, Memory, Stage


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
            (USUAL_HOOKS, ("version_known", "ready")),
            (USUAL_HOOKS - {Hook.READY}, ("version_known",)),
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

"""The installation of a file, and the restart."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import USUAL_HOOKS, execution
from tests.unit.machine.bench import IN_PROGRESS, Life, ended
from upparat.job import Hook, State, Status
from upparat.machine.fetching import MAX_URL_REQUESTS
from upparat.ports import BY_INSTALLER, LOOPBACK


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

    def test_a_file_that_the_hook_fetches(self) -> None:
        life = Life().downloading().quiet()
        life.machine.stream_ready(LOOPBACK)
        effects = [
            ("installation", "installing"),
            ("report", "a", "installation_start", BY_INSTALLER),
            ("run", "install", "a", LOOPBACK),
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

    def test_the_hook_ends_without_the_fresh_url(self) -> None:
        """The restart must not take the time-out of the question for its own."""
        life = Life().streaming()
        life.machine.url_expired("HTTP 403")
        life.machine.describe_failed("a", False)
        life.quiet().machine.installed()
        self.assertEqual(life.state, "restart")
        self.assertEqual(life.taken()[0], ("cancel timer",))

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
        life = Life(USUAL_HOOKS - {Hook.RESTART}).installing().quiet()
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

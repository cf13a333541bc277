"""The work that starts with each state, over whole updates."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution
from tests.unit.machine.bench import IN_PROGRESS, Life, ended, summary
from upparat.job import State


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
                "cleanup",
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

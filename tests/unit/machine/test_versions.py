"""What the versions of the device and of a job allow."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution
from tests.unit.machine.bench import IN_PROGRESS, Life, ended, summary
from upparat.job import Downgrades, Hook


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

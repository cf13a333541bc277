"""How far a restart has got."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution
from tests.unit.machine.bench import IN_PROGRESS, Life, summary
from upparat.ports import Installation, Stage


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

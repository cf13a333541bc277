"""The end of a job, and of the agent."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import ALL_HOOKS, USUAL_HOOKS, execution, key
from tests.unit.machine.bench import IN_PROGRESS, Life, summary
from upparat.job import Hook, Job, JobExecution, Status
from upparat.ports import Ending, Memory
from upparat.snapshots import EndedJob, WaitKind


class FactsTests(SynchronousTestCase):
    """What the report on the end of an execution says besides."""

    def test_the_versions_and_the_agent(self) -> None:
        life = Life(agent="2.0.1").installing()
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 7", {"exit_code": "7"})
        self.assertEqual(
            life.jobs.facts,
            {
                "exit_code": "7",
                "rollback": "none",
                "agent": "2.0.1",
                "from": "1.0",
                "to": "2.0",
            },
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


class LeftOverTests(SynchronousTestCase):
    """An earlier agent has ended a job, and not come to the end of its cleanup."""

    END = Ending(Job(execution(), "2.0", file=""), "complete_ready", "none")

    def started(self, hooks: frozenset[Hook]) -> Life:
        life = Life(hooks)
        life.record.ending = self.END
        return life.started()

    def test_the_owner_tidies_up_before_anything_else(self) -> None:
        life = self.started(ALL_HOOKS)
        self.assertEqual(life.taken(), [("run", "cleanup", "a", "complete_ready", "none")])
        life.machine.cleaned()
        self.assertEqual(life.taken(), [("clear record",), ("fetch",)])

    def test_without_a_cleanup_hook_there_is_nothing_to_tidy_up(self) -> None:
        life = self.started(USUAL_HOOKS)
        self.assertEqual(life.taken(), [("clear record",), ("fetch",)])


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
        failed = EndedJob(
            key("a"), "2.0", "FAILED", "installation_hook_failed", "Exit code: 1", "1.0"
        )
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

    def test_nothing_more_is_done_for_it(self) -> None:
        """Its log is complete, but for what the cleanup hook says."""
        life = Life().installing()
        left: list[JobExecution] = []
        life.core.on_left = left.append
        life.machine.cancelled()
        self.assertEqual(left, [])
        life.machine.released()
        self.assertEqual([each.key for each in left], [key("a")])

    def test_nothing_more_is_done_for_what_ended_meanwhile(self) -> None:
        """The description may have a URL for its log. Another execution of the job is no help."""
        canceled = execution("a", Status.CANCELED)
        for answer, found in ((canceled, [canceled]), (execution("a", queued_at=200), [])):
            life = Life()
            left: list[JobExecution] = []
            life.core.on_left = left.append
            life.started(Memory(key("a"))).machine.pending([], [])
            life.machine.described(answer)
            self.assertEqual(left, found)

    def test_an_end_while_the_agent_was_away(self) -> None:
        life = Life()
        ended = self.watched(life)
        life.started(Memory(key("a"))).machine.pending([], [])
        life.machine.describe_failed("a", True)
        message = "it ended while the agent was away"
        self.assertEqual(ended, [EndedJob(key("a"), "", "", "ended_by_others", message)])

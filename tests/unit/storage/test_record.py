"""The record: what survives a crash, and what a broken file does."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.anyjson import ANY_JSON, ODD, RELAXED, objects
from tests.support.ports import execution, key
from upparat.job import ExecutionKey, Hook, Job, JobExecution, Report, State, Status
from upparat.ports import Ending, Installation, Memory, Rollback, Stage
from upparat.storage.record import KEPT, SCHEMA, FileRecord

DONE = Report(State.NO_RESTART_HOOK_PROVIDED)
VERIFIED = Report(State.COMPLETE_READY)
PRESENT = Report(State.VERSION_ALREADY_INSTALLED)
FAILED = Report(State.VERSION_HOOK_FAILED, "exit status 1\n\x1b[31mé")

KEYED = {
    "job_id": st.text(),
    "execution_number": st.integers(),
    "queued_at": st.integers(),
}
UPDATES = objects(**KEYED, restarting=st.booleans(), restarts=st.integers())
DEBTS = objects(**KEYED, version_number=st.integers(), state=st.just("complete_ready"))
TRIES = objects(
    hook=st.just("install"), retry=st.integers(), elapsed=st.floats(), boot_id=st.text()
)
RECORDS = objects(
    schema=st.just(SCHEMA),
    boot_id=st.text(),
    update=UPDATES,
    tries=st.lists(TRIES | ANY_JSON),
    owed=st.lists(DEBTS | ANY_JSON),
)


class RecordBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "deep" / "state"
        self.path = self.directory / "record.json"
        self.bad = self.directory / "record.bad"
        self.boot_id = Path(self.mktemp())
        self.time = 1000.0
        self.boot("boot 1")

    def boot(self, boot_id: str) -> None:
        """The device starts anew."""
        self.boot_id.write_text(boot_id + "\n")

    def record(self) -> FileRecord:
        """The record as the agent makes it at its start."""
        record = FileRecord(self.directory, self.boot_id, lambda: self.time)
        self.memory = record.load()
        return record

    def remembered(self) -> Memory | None:
        self.record()
        return self.memory

    def errors(self) -> list[str]:
        """The messages of the errors that are logged from now on."""
        messages: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_level"] is LogLevel.error:
                messages.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return messages

    def put(self, content: bytes) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)


class UpdateTests(RecordBench):
    def test_nothing_yet(self) -> None:
        errors = self.errors()
        record = self.record()
        self.assertIsNone(self.memory)
        self.assertEqual(record.owed(), [])
        self.assertFalse(self.directory.exists())
        self.assertEqual(errors, [])

    def test_working(self) -> None:
        self.record().working(key("a", 2, 100))
        self.assertEqual(self.remembered(), Memory(key("a", 2, 100), same_boot=True))

    def test_restarting(self) -> None:
        record = self.record()
        record.working(key())
        record.restarting(key())
        expected = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        self.assertEqual(self.remembered(), expected)

    def test_restarts_are_counted_across_starts(self) -> None:
        for restarts in (1, 2, 3):
            self.record().restarting(key())
            memory = self.remembered()
            assert memory is not None
            self.assertEqual((memory.restart_attempts, memory.restart_done), (restarts, False))

    def test_restarted(self) -> None:
        record = self.record()
        record.restarting(key())
        record.restarted(key())
        expected = Memory(
            key(), restart_accepted=True, same_boot=True, restart_attempts=1, restart_done=True
        )
        self.assertEqual(self.remembered(), expected)
        record.restarting(key())
        expected = Memory(
            key(), restart_accepted=True, same_boot=True, restart_attempts=2, restart_done=False
        )
        self.assertEqual(self.remembered(), expected)

    def test_another_execution_starts_from_nothing(self) -> None:
        for other in (key("b"), key(number=2), key(queued_at=101)):
            record = self.record()
            record.restarting(key())
            record.restarting(other)
            expected = Memory(other, restart_accepted=True, same_boot=True, restart_attempts=1)
            self.assertEqual(self.remembered(), expected)
            record.restarted(key())
            expected = Memory(key(), restart_accepted=True, same_boot=True, restart_done=True)
            self.assertEqual(self.remembered(), expected)
            record.working(other)
            self.assertEqual(self.remembered(), Memory(other, same_boot=True))

    def test_clear(self) -> None:
        record = self.record()
        record.working(key())
        record.clear()
        self.assertEqual(os.listdir(self.directory), [])
        self.assertIsNone(self.remembered())
        record.clear()
        self.record().clear()

    def test_the_removal_survives_a_power_cut(self) -> None:
        record = self.record()
        record.working(key())
        with mock.patch("os.fsync") as fsync:
            record.clear()
        self.assertEqual(fsync.call_count, 1)

    def test_cleared_by_the_next_start(self) -> None:
        self.record().working(key())
        self.record().clear()
        self.assertIsNone(self.remembered())

    def test_only_for_the_owner_s_eyes(self) -> None:
        self.record().working(key())
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual(os.listdir(self.directory), ["record.json"])


class ReplacedTests(RecordBench):
    """The version that ran before the update."""

    def known(self) -> str | None:
        self.record()
        return self.memory.replaced if self.memory else None

    def test_it_is_kept_with_the_next_change(self) -> None:
        record = self.record()
        record.note_replaced("0.9")
        self.assertFalse(self.path.exists())
        record.working(key())
        record.note_replaced("1.0")
        self.assertEqual(self.known(), "")
        record.restarting(key())
        self.assertEqual(self.known(), "1.0")

    def test_over_another_start(self) -> None:
        record = self.record()
        record.working(key())
        record.note_replaced("1.0")
        record.begun(key(), Hook.DOWNLOAD, 0, 0)
        record = self.record()
        record.working(key())
        self.assertEqual(self.known(), "1.0")
        record.working(key("b"))
        self.assertEqual(self.known(), "")

    def test_over_a_success_in_doubt(self) -> None:
        record = self.record()
        record.working(key())
        record.add(execution(), Report(State.COMPLETE_READY, facts={"from": "1.0"}))
        self.assertEqual(self.known(), "1.0")


TAKEN_BACK = Rollback("2.0", State.READY_HOOK_FAILED, "Exit code: 1", {"hook": "ready"})


class RollbackTests(RecordBench):
    def test_each_step_is_remembered(self) -> None:
        for taken in (
            TAKEN_BACK,
            replace(TAKEN_BACK, state=None, facts={}),
            replace(TAKEN_BACK, hook_done=True, restart=True, restarts=2, restarted=True),
            replace(TAKEN_BACK, failed=True),
        ):
            self.record().rolling_back(key("a"), taken)
            memory = self.remembered()
            assert memory is not None
            self.assertEqual((memory.key, memory.rollback), (key("a"), taken))
            self.assertTrue(memory.restart_accepted)

    def test_what_was_replaced_is_still_known(self) -> None:
        record = self.record()
        record.working(key("a"))
        record.note_replaced("1.0")
        record.rolling_back(key("a"), TAKEN_BACK)
        memory = self.remembered()
        assert memory is not None
        self.assertEqual(memory.replaced, "1.0")

    def test_runs_of_the_restart_hook_count_anew(self) -> None:
        record = self.record()
        record.restarting(key("a"))
        record.begun(key("a"), Hook.RESTART, 4, 10.0)
        record.rolling_back(key("a"), TAKEN_BACK)
        self.assertIsNone(record.last_attempt(key("a"), Hook.RESTART))
        record.begun(key("a"), Hook.ROLLBACK, 2, 10.0)
        record.rolling_back(key("a"), replace(TAKEN_BACK, hook_done=True))
        self.assertEqual(self.record().last_attempt(key("a"), Hook.ROLLBACK), (2, 10.0))

    def test_a_restart_hook_that_has_stopped_the_agent(self) -> None:
        begun = replace(TAKEN_BACK, hook_done=True, restart=True, restarts=1)
        record = self.record()
        record.rolling_back(key("a"), begun)
        record.left(key("a"))
        memory = self.remembered()
        assert memory is not None
        self.assertEqual(memory.rollback, replace(begun, restarted=True))

    def test_it_ends_with_its_job(self) -> None:
        self.record().rolling_back(key("a"), TAKEN_BACK)
        self.record().clear()
        self.assertIsNone(self.remembered())
        self.record().rolling_back(key("a"), TAKEN_BACK)
        self.record().working(key("b"))
        memory = self.remembered()
        assert memory is not None
        self.assertIsNone(memory.rollback)

    def test_it_ends_with_the_report(self) -> None:
        record = self.record()
        record.rolling_back(key("a"), TAKEN_BACK)
        record.add(execution("a"), FAILED)
        record = self.record()
        self.assertIsNone(self.memory)
        record.restarting(key("b"))
        memory = self.remembered()
        assert memory is not None
        self.assertIsNone(memory.rollback)

    def test_nonsense(self) -> None:
        self.record().rolling_back(key("a"), TAKEN_BACK)
        content = json.loads(self.path.read_text())
        for broken in ({"state": "no"}, {"restarts": "1"}, {"facts": None}):
            changed = {**content, "rollback": {**content["rollback"], **broken}}
            self.path.write_text(json.dumps(changed))
            self.assertIsNone(self.remembered())
            self.assertTrue(self.bad.exists())
            self.flushLoggedErrors()


class CleanupTests(RecordBench):
    def cleaning(self, report: Report = DONE) -> FileRecord:
        job = Job(execution("a"), "2.0", file="https://s3/f?secret", meta="secret")
        record = self.record()
        record.add(execution("a"), report)
        record.cleaning(Ending(job, "complete_ready", "none"))
        return record

    def test_it_is_remembered_without_secrets(self) -> None:
        record = self.cleaning()
        self.assertNotIn("secret", self.path.read_text())
        for each in (record, self.record()):
            ending = each.uncleaned()
            assert ending is not None
            self.assertEqual((ending.job.key, ending.job.version), (key("a"), "2.0"))
            self.assertEqual((ending.state, ending.message), ("complete_ready", "none"))
        self.assertIsNone(self.memory)

    def test_done(self) -> None:
        self.cleaning().clear()
        record = self.record()
        self.assertIsNone(record.uncleaned())
        record.remove(key("a"))
        self.assertFalse(self.path.exists())

    def test_the_end_is_taken_back(self) -> None:
        """The success was not delivered, and is in doubt now: the job is not over."""
        for report in (VERIFIED, PRESENT):
            self.cleaning(report)
            self.assertIsNone(self.record().uncleaned())
            self.record().clear()

    def test_the_hook_has_to_end_though_the_end_is_taken_back(self) -> None:
        """Others may end the job meanwhile, and the agent would not know that it was in hand."""
        for report in (VERIFIED, PRESENT):
            self.cleaning(report)
            memory = self.record().load()
            assert memory is not None
            self.assertEqual(memory.key, key("a"))
            self.record().clear()


class BootTests(RecordBench):
    def same_boot(self) -> bool:
        memory = self.remembered()
        assert memory is not None
        return memory.same_boot

    def test_same(self) -> None:
        self.record().restarting(key())
        self.assertTrue(self.same_boot())

    def test_other(self) -> None:
        self.record().restarting(key())
        self.boot("boot 2")
        self.assertFalse(self.same_boot())

    def test_written_by_the_new_boot(self) -> None:
        self.record().restarting(key())
        self.boot("boot 2")
        self.record().restarting(key())
        self.assertTrue(self.same_boot())

    def test_a_debt_does_not_change_what_is_known_of_the_update(self) -> None:
        self.record().restarting(key())
        self.boot("boot 2")
        record = self.record()
        record.add(execution("b"), FAILED)
        self.assertFalse(self.same_boot())
        record.remove(key("b"))
        self.assertFalse(self.same_boot())

    def test_missing(self) -> None:
        """Without a boot id nothing proves that the device has stayed up."""
        self.boot_id.unlink()
        self.record().working(key())
        self.assertFalse(self.same_boot())
        self.boot("boot 2")
        self.assertFalse(self.same_boot())

    def test_missing_later(self) -> None:
        self.record().working(key())
        self.boot_id.unlink()
        self.assertFalse(self.same_boot())

    def test_of_this_machine(self) -> None:
        record = FileRecord(self.directory)
        record.working(key())
        memory = FileRecord(self.directory).load()
        assert memory is not None
        self.assertTrue(memory.same_boot)


class DebtTests(RecordBench):
    def test_round_trip(self) -> None:
        self.record().add(execution(), FAILED)
        record = self.record()
        ((of, report),) = record.owed()
        self.assertEqual(of, JobExecution(key(), Status.IN_PROGRESS, version_number=1))
        self.assertEqual(report.state, FAILED.state)
        self.assertEqual(report.details, FAILED.details)

    def test_its_facts(self) -> None:
        facts = {"hook": "version", "exit_code": "1", "from": "1.0"}
        self.record().add(execution(), Report(State.VERSION_HOOK_FAILED, "Exit code: 1", facts))
        ((_, report),) = self.record().owed()
        self.assertEqual(report.facts, facts)
        self.put(self.path.read_bytes().replace(b'"exit_code": "1"', b'"exit_code": 1'))
        self.assertEqual(self.record().owed(), [])
        self.assertTrue(self.bad.exists())

    def test_all_states_that_end(self) -> None:
        for state in State:
            if state.status.ended:
                record = self.record()
                record.working(key("z"))  # so that no success is in doubt
                record.add(execution(), Report(state))
                self.assertEqual([report for _, report in self.record().owed()], [Report(state)])

    def test_oldest_first_and_one_for_each(self) -> None:
        record = self.record()
        for job_id in "abc":
            record.add(execution(job_id), FAILED)
        record.add(execution("a", queued_at=101), DONE)
        record.add(execution("b"), DONE)
        owed = [(of.key, report.state) for of, report in self.record().owed()]
        self.assertEqual(
            owed,
            [
                (key("a"), FAILED.state),
                (key("c"), FAILED.state),
                (key("a", queued_at=101), DONE.state),
                (key("b"), DONE.state),
            ],
        )

    def test_settled(self) -> None:
        record = self.record()
        record.add(execution("a"), DONE)
        record.add(execution("b"), DONE)
        record.remove(key("a", queued_at=101))
        record.remove(key("a"))
        self.assertEqual([of.job_id for of, _ in self.record().owed()], ["b"])
        record.remove(key("b"))
        self.assertFalse(self.path.exists())
        record.remove(key("b"))

    def test_an_update_whose_end_is_owed_is_not_in_hand(self) -> None:
        record = self.record()
        record.working(key())
        record.add(execution(), DONE)
        self.assertIsNone(self.remembered())
        record.clear()
        record = self.record()
        self.assertEqual(len(record.owed()), 1)

    def test_when_that_is_settled_nothing_is_left(self) -> None:
        record = self.record()
        record.working(key())
        record.add(execution(), DONE)
        record = self.record()
        record.clear()  # tidied up
        record.remove(key())
        self.assertFalse(self.path.exists())

    def test_a_power_cut_before_its_cleanup_hook(self) -> None:
        record = self.record()
        record.working(key())
        record.add(execution(), Report(FAILED.state, FAILED.message, {"to": "2.0"}))
        ending = self.record().uncleaned()
        assert ending is not None
        self.assertEqual((ending.job.key, ending.job.version), (key(), "2.0"))
        details = FAILED.details
        self.assertEqual((ending.state, ending.message), (details["state"], details["message"]))

    def test_the_debt_of_another_does_not_hide_the_update(self) -> None:
        record = self.record()
        record.working(key())
        record.add(execution("b"), DONE)
        self.assertEqual(self.remembered(), Memory(key(), same_boot=True))

    def test_the_last_success_is_verified_again(self) -> None:
        record = self.record()
        record.restarting(key())
        record.add(execution("b"), FAILED)
        record.add(execution(), VERIFIED)
        record.clear()
        for _ in range(2):  # the agent may die before it has done anything
            record = self.record()
            self.assertEqual([of.job_id for of, _ in record.owed()], ["b"])
            memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
            self.assertEqual(self.memory, replace(memory, verified=VERIFIED.state))
        record.clear()
        self.assertIsNone(self.remembered())

    def test_after_a_reboot_as_well(self) -> None:
        record = self.record()
        record.restarting(key())
        record.add(execution(), VERIFIED)
        self.boot_id.write_text("another\n")
        memory = self.remembered()
        assert memory is not None
        self.assertEqual((memory.verified, memory.same_boot), (VERIFIED.state, False))

    def test_an_earlier_success_is_delivered_as_it_was(self) -> None:
        record = self.record()
        for job_id in "ab":
            record.add(execution(job_id), VERIFIED)
        self.assertEqual([of.job_id for of, _ in self.record().owed()], ["a"])

    def test_a_success_before_the_update_in_hand_is_delivered_as_it_was(self) -> None:
        record = self.record()
        record.add(execution("b"), VERIFIED)
        record.working(key())
        record = self.record()
        self.assertEqual([of.job_id for of, _ in record.owed()], ["b"])
        self.assertEqual(self.memory, Memory(key(), same_boot=True))

    def test_another_version_that_was_installed_since_is_no_fall_back(self) -> None:
        """By hand, for instance, while AWS could not hear of the success."""
        record = self.record()
        record.add(execution(), VERIFIED)
        record.working(key("b"))
        record.note_installation(Installation("3.0", Stage.INSTALLING))
        record.confirm("3.0")
        record.clear()
        record = self.record()
        self.assertEqual(self.memory, None)
        self.assertEqual([of.job_id for of, _ in record.owed()], ["a"])

    def test_a_version_that_was_installed_already_is_looked_at_again(self) -> None:
        record = self.record()
        record.working(key())
        record.add(execution(), PRESENT)
        record = self.record()
        self.assertEqual((record.owed(), self.memory), ([], None))
        self.assertFalse(self.path.exists())

    def test_settled_after_the_next_start(self) -> None:
        self.record().add(execution(), DONE)
        record = self.record()
        record.working(key("b"))
        record.remove(key())
        record = self.record()
        self.assertEqual(record.owed(), [])
        self.assertEqual(self.memory, Memory(key("b"), same_boot=True))


class InstallationTests(RecordBench):
    def test_the_update_in_hand_knows_what_it_installs(self) -> None:
        record = self.record()
        record.note_installation(Installation("2.0", Stage.INSTALLING))
        for version in ("2.0", "3.0"):
            record.working(key())
            self.assertEqual(record.installs(key()), "")
            record.note_installation(Installation(version, Stage.INSTALLING))
            record = self.record()
            self.assertEqual(self.memory, Memory(key(), same_boot=True, version=version))
            self.assertEqual(record.installs(key()), version)
            record.working(key())
            record.note_installation(Installation(version, Stage.INSTALLED))
            for change in (record.restarting, record.restarted, self.roll_back(record)):
                change(key())
                self.assertEqual(self.record().installs(key()), version)
            record = self.record()
            record.working(key("b"))
            self.assertEqual((record.installs(key()), record.installs(key("b"))), ("", ""))
            self.record()

    def test_another_job_has_confirmed_what_it_has_installed(self) -> None:
        record = self.record()
        record.working(key())
        record.note_installation(Installation("2.0", Stage.INSTALLED))
        record.note_left(key())
        record.working(key("b"))
        record.confirm("2.0")
        self.assertTrue(self.record().displaced(key()))

    def test_it_knows_it_after_another_job(self) -> None:
        record = self.record()
        record.working(key())
        record.note_installation(Installation("2.0", Stage.INSTALLING))
        record.note_left(key())
        record.working(key("b"))
        record = self.record()
        self.assertEqual(record.installs(key()), "2.0")
        record.working(key())
        self.assertEqual(self.record().installs(key()), "2.0")
        record.working(key("b"))
        record.note_installation(Installation("3.0", Stage.INSTALLING))
        self.assertEqual(record.installs(key()), "", "what is installed is another one's")

    @staticmethod
    def roll_back(record: FileRecord) -> Callable[[ExecutionKey], object]:
        return lambda key: record.rolling_back(key, TAKEN_BACK)

    def test_so_does_a_success_in_doubt(self) -> None:
        self.record().add(execution(), Report(State.COMPLETE_READY, facts={"to": "2.0"}))
        self.assertEqual(self.record().installs(key()), "2.0")
        self.assertEqual(self.memory and self.memory.version, "2.0")

    def test_another_job_has_displaced_it(self) -> None:
        record = self.record()
        for number in range(KEPT + 1):
            record.note_left(key("a", number))
        record.note_left(key("a", 3))
        record = self.record()
        record.working(key("b"))
        self.assertFalse(record.displaced(key("a", 3)), "nothing was installed in its place")
        record.note_installation(Installation("3.0", Stage.INSTALLING))
        record = self.record()
        known = [number for number in range(KEPT + 1) if record.displaced(key("a", number))]
        self.assertEqual(known, [*range(1, KEPT + 1)])
        record.working(key("a", 3))
        record.note_installation(Installation("2.0", Stage.INSTALLED))
        self.assertTrue(record.displaced(key("a", 3)))
        record.note_installation(Installation("2.0", Stage.INSTALLING))
        self.assertFalse(self.record().displaced(key("a", 3)), "it is installed anew")
        self.record().add(execution("a"), FAILED)
        self.assertFalse(self.record().displaced(key("a", 1)), "it has ended")
        self.assertTrue(self.record().displaced(key("a", 2)))

    def test_a_later_boot_goes_on(self) -> None:
        """The record still says that the device went down since the restart hook was begun."""
        record = self.record()
        record.restarting(key())
        self.boot_id.write_text("another\n")
        self.record().note_installation(Installation("2.0", Stage.RESTARTED))
        memory = self.remembered()
        self.assertFalse(memory and memory.same_boot)

    def test_it_outlives_its_job(self) -> None:
        record = self.record()
        self.assertIsNone(record.unconfirmed("2.0"))
        record.working(key())
        record.note_installation(Installation("2.0", Stage.INSTALLING))
        record.note_installation(Installation("2.0", Stage.INSTALLED))
        record.clear()
        record = self.record()
        self.assertIsNone(self.memory)
        self.assertEqual(record.unconfirmed("2.0"), Installation("2.0", Stage.INSTALLED))

    def test_confirmed(self) -> None:
        record = self.record()
        record.note_installation(Installation("2.0", Stage.RESTARTED))
        record.confirm("2.0")
        self.assertIsNone(record.unconfirmed("2.0"))
        self.assertFalse(self.path.exists())

    def test_written_only_when_it_changes(self) -> None:
        record = self.record()
        with mock.patch("os.fsync") as fsync:
            record.confirm("1.0")
            self.assertEqual(fsync.call_count, 0)
            record.note_installation(Installation("2.0", Stage.INSTALLED))
            written = fsync.call_count
            record.note_installation(Installation("2.0", Stage.INSTALLED))
            self.assertEqual(fsync.call_count, written)

    def test_each_version_has_its_own(self) -> None:
        """An installation of another version does not confirm the first."""
        record = self.record()
        record.note_installation(Installation("2.0", Stage.RESTARTED))
        record.note_installation(Installation("3.0", Stage.INSTALLING))
        for found in (record, self.record()):
            self.assertEqual(found.unconfirmed("2.0"), Installation("2.0", Stage.RESTARTED))
            self.assertEqual(found.unconfirmed("3.0"), Installation("3.0", Stage.INSTALLING))
            self.assertIsNone(found.unconfirmed("1.0"))
        record.confirm("2.0")
        record = self.record()
        self.assertIsNone(record.unconfirmed("2.0"))
        self.assertEqual(record.unconfirmed("3.0"), Installation("3.0", Stage.INSTALLING))
        record.confirm("1.0")
        record.confirm("3.0")
        self.assertFalse(self.path.exists())

    def test_not_of_every_version_for_ever(self) -> None:
        record = self.record()
        for number in range(KEPT + 3):
            record.note_installation(Installation(f"{number}", Stage.INSTALLING))
        known = [n for n in range(KEPT + 3) if record.unconfirmed(f"{n}")]
        self.assertEqual(known, list(range(2, KEPT + 3)))

    def test_a_stage_that_nobody_knows(self) -> None:
        self.record().note_installation(Installation("2.0", Stage.INSTALLED))
        content = self.path.read_bytes().replace(b'"installed"', b'"unheard"')
        self.put(content)
        self.assertIsNone(self.record().unconfirmed("2.0"))
        self.assertEqual(self.bad.read_bytes(), content)


class WaitingTests(RecordBench):
    """A restart hook that has asked to be run again later."""

    def begun(self) -> FileRecord:
        record = self.record()
        record.working(key())
        record.restarting(key())
        record.begun(key(), Hook.RESTART, 0, 0)
        return record

    def waits(self) -> tuple[bool, int]:
        memory = self.remembered()
        assert memory is not None
        return memory.restart_waiting, memory.restart_attempts

    def test_it_waits_until_the_next_run(self) -> None:
        record = self.begun()
        self.assertEqual(self.waits(), (False, 1))
        record.waiting(key(), Hook.RESTART)
        self.assertEqual(self.waits(), (True, 1))
        record = self.record()
        record.begun(key(), Hook.RESTART, 1, 60)
        self.assertEqual(self.waits(), (False, 1))

    def test_the_restart_is_not_forgotten(self) -> None:
        self.begun().waiting(key(), Hook.RESTART)
        memory = self.remembered()
        assert memory is not None
        self.assertTrue(memory.restart_accepted)

    def test_starts_of_the_agent_meanwhile_do_not_count(self) -> None:
        record = self.begun()
        for _ in range(3):
            record.waiting(key(), Hook.RESTART)
            record = self.record()
            record.restarting(key())
        self.assertEqual(self.waits(), (False, 1))

    def test_other_hooks_restart_nothing(self) -> None:
        record = self.begun()
        record.waiting(key(), Hook.READY)
        self.assertEqual(self.waits(), (False, 1))


class BrokenFileTests(RecordBench):
    def content(self) -> bytes:
        record = self.record()
        record.restarting(key("a", 2, 1700000000))
        record.add(execution("b"), FAILED)
        return self.path.read_bytes()

    def set_aside(self, content: bytes) -> None:
        self.put(content)
        record = self.record()
        self.assertIsNone(self.memory, content)
        self.assertEqual(record.owed(), [])
        self.assertFalse(self.path.exists())
        self.assertEqual(self.bad.read_bytes(), content)

    def test_torn(self) -> None:
        content = self.content()
        for length in range(len(content)):
            self.set_aside(content[:length])
        self.put(content)
        self.assertIsNotNone(self.remembered())

    def test_a_bad_record_does_not_stay(self) -> None:
        errors = self.errors()
        self.set_aside(b"{")
        self.assertEqual(len(errors), 1)
        self.record().working(key())
        self.assertEqual(self.remembered(), Memory(key(), same_boot=True))
        self.assertEqual(len(errors), 1)

    def test_nonsense(self) -> None:
        for content in (b"\0" * 4096, b"\xff", b"[]", b"null", b'"x"', b"{}", b"[" * 100_000):
            self.set_aside(content)

    def test_foreign_schema(self) -> None:
        data = json.loads(self.content())
        for schema in (0, 2, "1", None, [1]):
            self.set_aside(json.dumps({**data, "schema": schema}).encode())

    def test_foreign_values(self) -> None:
        data = json.loads(self.content())
        for name in ("schema", "boot_id", "update", "tries", "owed"):
            self.set_aside(json.dumps({n: v for n, v in data.items() if n != name}).encode())
        for name, odd in (
            *(("update", odd) for odd in (*ODD[1:], [1], "x", 1, {"job_id": "a"})),
            *(("update", {**data["update"], "execution_number": odd}) for odd in ("2", 2.0, True)),
            *(("update", {**data["update"], "restarting": odd}) for odd in (1, None)),
            *(("owed", odd) for odd in (None, 1, "x", [1], ["x"], *([odd] for odd in ODD))),
            *(("owed", [{**data["owed"][0], "state": odd}]) for odd in ("nonsense", 1)),
        ):
            self.set_aside(json.dumps({**data, name: odd}).encode())

    @RELAXED
    @given(RECORDS | ANY_JSON)
    def test_any(self, value: object) -> None:
        self.put(json.dumps(value).encode())
        record = self.record()
        for of, report in record.owed():
            self.assertIsInstance(of, JobExecution)
            self.assertIsInstance(report.details["message"], str)

    def test_a_rest_of_a_write_that_was_cut_off(self) -> None:
        self.record().working(key())
        (self.directory / "record.new").write_bytes(b"{")
        self.assertEqual(self.remembered(), Memory(key(), same_boot=True))
        self.record().clear()
        self.record().working(key("b"))
        self.assertEqual(os.listdir(self.directory), ["record.json"])


class TroubleTests(RecordBench):
    def test_no_directory_can_be_made(self) -> None:
        self.directory.parent.parent.mkdir()
        self.directory.parent.write_text("a file")
        errors = self.errors()
        record = self.record()
        self.assertIsNone(self.memory)
        self.assertEqual(len(errors), 1)
        self.assertIn("cannot be read", errors[0])
        record.working(key())
        record.restarting(key())
        record.add(execution(), DONE)
        self.assertEqual(len(errors), 7)
        self.assertIn("cannot be written", errors[-2])
        self.assertIn("cannot be removed", errors[-1])
        self.assertEqual(len(record.owed()), 1)
        record.clear()
        record.remove(key())
        self.assertIn("cannot be removed", errors[-1])

    def test_a_directory_in_place_of_the_file(self) -> None:
        self.path.mkdir(parents=True)
        errors = self.errors()
        record = self.record()
        record.working(key())
        record.clear()
        self.assertEqual(len(errors), 4)

    def test_it_cannot_be_set_aside(self) -> None:
        self.put(b"{")
        (self.bad / "full").mkdir(parents=True)
        errors = self.errors()
        self.assertIsNone(self.remembered())
        self.assertEqual(len(errors), 2)
        self.assertIn("cannot be set aside", errors[1])

    def test_it_was_removed_by_others(self) -> None:
        errors = self.errors()
        record = self.record()
        record.working(key())
        self.path.unlink()
        record.clear()
        self.assertEqual(errors, [])


class JournalTests(RecordBench):
    """How often the hook at work was run."""

    def begun(self, retry: int = 2, elapsed: float = 30.0) -> FileRecord:
        record = self.record()
        record.working(key())
        record.begun(key(), Hook.INSTALL, retry, elapsed)
        return record

    def tries(self, hook: Hook = Hook.INSTALL) -> tuple[int, float] | None:
        return self.record().last_attempt(key(), hook)

    def test_nothing_yet(self) -> None:
        self.record().working(key())
        self.assertIsNone(self.tries())

    def test_time_goes_on_within_a_boot(self) -> None:
        self.begun()
        self.time += 5
        self.assertEqual(self.tries(), (2, 35.0))

    def test_another_boot_has_another_clock(self) -> None:
        self.begun()
        self.time = 3.0
        self.boot("boot 2")
        self.assertEqual(self.tries(), (2, 30.0))

    def test_each_hook_for_itself(self) -> None:
        """After a crash an update begins with other hooks than the one that was at work."""
        self.begun()
        self.assertIsNone(self.tries(Hook.VERSION))
        self.record().begun(key(), Hook.VERSION, 0, 0.0)
        self.assertEqual(self.tries(), (2, 30.0))
        record = self.record()
        record.over(key(), Hook.VERSION)
        self.assertIsNone(record.last_attempt(key(), Hook.VERSION))
        self.assertEqual(record.last_attempt(key(), Hook.INSTALL), (2, 30.0))

    def test_only_of_the_update_in_hand(self) -> None:
        record = self.begun()
        record.working(key("other"))
        record.working(key())
        self.assertIsNone(self.tries())

    def test_a_hook_without_an_update_is_not_remembered(self) -> None:
        record = self.record()
        record.begun(key(), Hook.INSTALL, 0, 0.0)
        self.assertFalse(self.path.exists())

    def test_taken_up_again(self) -> None:
        self.begun().working(key())
        self.assertEqual(self.tries(), (2, 30.0))

    def test_over(self) -> None:
        record = self.begun()
        record.over(key(), Hook.INSTALL)
        self.assertIsNone(record.last_attempt(key(), Hook.INSTALL))

    def test_what_is_over_is_over_after_a_power_cut_too(self) -> None:
        """A long download may follow, in which nothing else is noted."""
        self.begun().over(key(), Hook.INSTALL)
        self.assertIsNone(self.tries())

    def test_left_running(self) -> None:
        record = self.record()
        record.restarting(key())
        record.left(key())
        memory = self.remembered()
        self.assertTrue(memory and memory.restart_done)

    def test_cleared(self) -> None:
        self.begun().clear()
        self.assertIsNone(self.tries())

    def test_says_nothing_of_when_the_update_was_worked_on(self) -> None:
        self.begun()
        self.boot("boot 2")
        self.record().begun(key(), Hook.VERSION, 0, 0.0)
        memory = self.remembered()
        self.assertFalse(memory and memory.same_boot)


class FormatTests(RecordBench):
    """An older or a newer agent must be able to read the record after an update of the agent."""

    TEXT = (
        '{"schema": 1, "boot_id": "boot 1", "update": {"job_id": "a", "execution_number": 2, '
        '"queued_at": 1700000000, "restarting": true, "restarts": 1, "restarted": false}, '
        '"tries": [{"hook": "restart", "retry": 2, "elapsed": 30.0, "first": 970.0, '
        '"boot_id": "boot 1"}], "owed": [{"job_id": "b", "execution_number": 1, "queued_at": 100, '
        '"version_number": 1, "state": "version_hook_failed", '
        '"message": "exit status 1 \\u00e9"}]}'
    )

    def check(self) -> None:
        """The record says what the text above says."""
        record = self.record()
        expected = Memory(
            key("a", 2, 1700000000), restart_accepted=True, same_boot=True, restart_attempts=1
        )
        self.assertEqual(self.memory, expected)
        self.assertEqual(record.last_attempt(key("a", 2, 1700000000), Hook.RESTART), (2, 30.0))
        ((of, report),) = record.owed()
        self.assertEqual((of.key, report.state), (key("b"), FAILED.state))
        self.assertEqual(report.details, FAILED.details)
        self.assertFalse(self.bad.exists())

    def test_the_text_on_disk(self) -> None:
        record = self.record()
        record.restarting(key("a", 2, 1700000000))
        record.begun(key("a", 2, 1700000000), Hook.RESTART, 2, 30.0)
        record.add(execution("b"), FAILED)
        self.assertEqual(self.path.read_text(), self.TEXT)
        self.check()

    def test_unknown_keys_of_a_newer_agent_are_ignored(self) -> None:
        data = json.loads(self.TEXT)
        for place in (data, data["update"], data["tries"][0], data["owed"][0]):
            for name, odd in (("new", 1), ("later", None), ("key", {"job_id": "z"})):
                place[name] = odd
            self.put(json.dumps(data).encode())
            self.check()

    def test_they_are_gone_with_the_next_change(self) -> None:
        data = json.loads(self.TEXT)
        data["new"] = data["update"]["new"] = 1
        self.put(json.dumps(data).encode())
        record = self.record()
        record.add(execution("b"), FAILED)
        self.assertEqual(self.path.read_text(), self.TEXT)


class UnwritableTests(RecordBench):
    """A record that cannot be replaced: an old one would count no restarts."""

    def test_it_is_written_as_soon_as_the_disk_takes_it(self) -> None:
        record = self.record()
        record.restarting(key())
        with (
            mock.patch("os.replace", side_effect=OSError(errno.EROFS, "read-only")),
            mock.patch("os.unlink", side_effect=OSError(errno.EROFS, "read-only")),
        ):
            record.clear()
            record.catch_up()
            self.assertFalse(record.kept)
        self.assertIsNotNone(self.remembered())
        record.catch_up()
        self.assertIsNone(self.remembered())

    def test_what_is_only_removed_is_written_later(self) -> None:
        record = self.record()
        record.working(key())
        full = mock.patch("upparat.private.PrivateDirectory.replace", side_effect=OSError("full"))
        over = mock.patch("upparat.private.PrivateDirectory.overwrite", side_effect=OSError("full"))
        with full, over:
            self.assertTrue(record.restarting(key()), "no file is as good")
            self.assertFalse(record.kept)
        self.assertIsNone(self.remembered())
        record.catch_up()
        self.assertTrue(record.kept)
        self.assertIsNotNone(self.remembered())

    def test_what_is_written_is_not_written_again(self) -> None:
        record = self.record()
        record.catch_up()
        record.working(key())
        with mock.patch("os.fsync") as fsync:
            record.catch_up()
        self.assertEqual(fsync.call_count, 0)

    def test_it_is_written_over(self) -> None:
        record = self.record()
        record.note_installation(Installation("2.0", Stage.INSTALLING))
        with mock.patch("os.replace", side_effect=OSError(errno.ENOSPC, "full")):
            self.assertTrue(record.restarting(key()))
            self.assertTrue(record.restarting(key()))
        record = self.record()
        self.assertEqual(getattr(self.memory, "restart_attempts", 0), 2)
        self.assertEqual(record.unconfirmed("2.0"), Installation("2.0", Stage.INSTALLING))

    def test_it_is_removed(self) -> None:
        record = self.record()
        record.working(key())
        full = OSError(errno.ENOSPC, "full")
        with mock.patch("os.replace", side_effect=full), mock.patch("os.fsync", side_effect=full):
            self.assertFalse(record.restarting(key()))
        self.assertFalse(self.path.exists())

    def test_there_is_none_to_write_over(self) -> None:
        with mock.patch("os.replace", side_effect=OSError(errno.ENOSPC, "full")):
            self.assertTrue(self.record().restarting(key()))
        self.assertFalse(self.path.exists())

    def test_it_can_not_even_be_removed(self) -> None:
        record = self.record()
        record.working(key())
        broken = OSError(errno.EROFS, "read-only")
        with (
            mock.patch("os.fsync", side_effect=broken),
            mock.patch("os.unlink", side_effect=broken),
        ):
            self.assertFalse(record.restarting(key()))

    def test_it_is_fine(self) -> None:
        self.assertTrue(self.record().restarting(key()))

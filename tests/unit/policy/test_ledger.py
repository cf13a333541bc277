"""The ledger: countdowns over clocks that are set, power cuts, and files that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from tests.unit.policy.bench import BOOTED_1970, DAY, HOUR, NOON, Clocks
from upparat.policy.ledger import FIRST_SAVE, NAME, SAVE_INTERVAL, STEADY, Ledger
from upparat.ports import JobStep
from upparat.private import PrivateDirectory


class LedgerBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.clocks = Clocks()
        self.ledger = self.begin()

    def begin(self) -> Ledger:
        return Ledger(self.directory, self.clocks.now, self.clocks.seconds)

    def waiting(self) -> None:
        self.ledger.turn_to(key())
        self.ledger.wait(JobStep.RESTART)

    def pass_time(self, seconds: float) -> None:
        self.clocks.advance(seconds)
        self.ledger.tick()

    def cut_power(self, off: float = 0.0, wall: float | None = None) -> None:
        """Begin anew; the clock shows the right time, or this one."""
        self.clocks.wall = self.clocks.wall + off if wall is None else wall
        self.ledger = self.begin()


class CountdownTests(LedgerBench):
    def test_a_job_that_does_not_wait(self) -> None:
        self.ledger.turn_to(key())
        self.pass_time(HOUR)
        self.assertEqual(self.ledger.standing.waited, 0)
        self.assertFalse((self.directory / NAME).exists())

    def test_waiting(self) -> None:
        self.waiting()
        self.pass_time(HOUR)
        self.pass_time(HOUR)
        self.assertEqual(self.ledger.standing.waited, 2 * HOUR)
        self.ledger.grant(JobStep.RESTART)
        self.pass_time(HOUR)
        self.assertEqual(self.ledger.standing.waited, 2 * HOUR)

    def test_deferral_and_pause(self) -> None:
        self.ledger.turn_to(key())
        self.ledger.defer(2 * HOUR)
        self.ledger.pause(3 * HOUR)
        self.pass_time(HOUR)
        self.assertEqual((self.ledger.standing.deferred, self.ledger.paused), (HOUR, 2 * HOUR))
        self.pass_time(HOUR)
        self.assertEqual((self.ledger.standing.deferred, self.ledger.paused), (0, HOUR))
        self.pass_time(2 * HOUR)
        self.assertEqual(self.ledger.paused, 0)

    def test_a_clock_that_is_set_while_the_agent_runs_changes_nothing(self) -> None:
        self.waiting()
        for wall in (NOON - 900 * DAY, NOON + 900 * DAY, BOOTED_1970):
            self.clocks.wall = wall
            self.ledger.tick()
        self.assertEqual(self.ledger.standing.waited, 0)

    def test_time_with_a_wrong_clock(self) -> None:
        self.waiting()
        self.pass_time(HOUR)
        self.clocks.wall = BOOTED_1970
        self.pass_time(HOUR)
        self.assertEqual(self.ledger.standing.blind, HOUR)


class PowerCutTests(LedgerBench):
    def test_all_is_kept(self) -> None:
        self.waiting()
        self.ledger.grant(JobStep.INSTALL)
        self.ledger.defer(DAY)
        self.ledger.pause(DAY)
        self.cut_power()
        standing = self.ledger.standing
        self.assertEqual(self.ledger.key, key())
        self.assertEqual((standing.granted, standing.step), ({JobStep.INSTALL}, JobStep.RESTART))
        self.assertEqual((standing.deferred, self.ledger.paused), (DAY, DAY))

    def test_the_time_without_power_counts(self) -> None:
        self.waiting()
        self.ledger.pause(2 * DAY)
        self.cut_power(DAY)
        self.assertEqual((self.ledger.standing.waited, self.ledger.paused), (DAY, DAY))

    def test_a_clock_that_jumps_back_lengthens_nothing_for_ever(self) -> None:
        """The device counts what it sees itself, however often it is switched off."""
        self.waiting()
        for _ in range(10):
            self.pass_time(HOUR)
            self.cut_power(wall=NOON - 30 * DAY)
        self.assertEqual(self.ledger.standing.waited, 10 * HOUR)

    def test_a_clock_that_begins_in_1970(self) -> None:
        """The years until it is set are no waiting."""
        self.waiting()
        self.cut_power(wall=BOOTED_1970)
        self.pass_time(SAVE_INTERVAL)
        self.cut_power(wall=NOON)
        self.assertEqual(self.ledger.standing.waited, SAVE_INTERVAL)

    def test_little_is_lost_and_little_is_written(self) -> None:
        self.waiting()
        writes: list[str] = []
        replace = PrivateDirectory.replace

        def note(directory: PrivateDirectory, name: str, content: bytes) -> None:
            writes.append(name)
            replace(directory, name, content)

        with mock.patch.object(
            PrivateDirectory,
            "replace",
            note,
        ):
            for _ in range(int(DAY / 60)):
                self.pass_time(60)
        self.assertLessEqual(len(writes), DAY / SAVE_INTERVAL + 3)
        self.cut_power(wall=NOON)
        self.assertGreaterEqual(self.ledger.standing.waited, DAY - SAVE_INTERVAL)

    def test_a_device_without_a_clock_that_is_switched_off_again_and_again(self) -> None:
        self.waiting()
        for _ in range(10):
            for _ in range(3):
                self.pass_time(FIRST_SAVE)
            self.cut_power(wall=BOOTED_1970)
        self.assertGreaterEqual(self.ledger.standing.waited, 10 * FIRST_SAVE)


class PageTests(LedgerBench):
    def test_another_job_begins_anew(self) -> None:
        self.waiting()
        self.ledger.grant(JobStep.INSTALL)
        self.ledger.pause(HOUR)
        told = self.ledger.promise("pause", NOON + HOUR)
        self.ledger.promise("deadline", NOON)
        self.ledger.turn_to(key("b"))
        self.assertEqual((self.ledger.standing.granted, self.ledger.standing.step), (set(), None))
        self.assertEqual(self.ledger.paused, HOUR)
        self.assertEqual(self.ledger.promise("pause", NOON + HOUR + 1), told)
        self.assertEqual(self.ledger.promise("deadline", NOON + 1), NOON + 1)

    def test_a_job_that_was_created_anew(self) -> None:
        self.ledger.turn_to(key(queued_at=100))
        self.ledger.grant(JobStep.INSTALL)
        self.ledger.turn_to(key(queued_at=101))
        self.assertEqual(self.ledger.standing.granted, set())

    def test_the_same_job(self) -> None:
        self.ledger.turn_to(key())
        self.ledger.grant(JobStep.INSTALL)
        self.ledger.turn_to(key())
        self.assertEqual(self.ledger.standing.granted, {JobStep.INSTALL})


class PromiseTests(LedgerBench):
    def test_it_is_kept_if_it_is_about_right(self) -> None:
        self.assertEqual(self.ledger.promise("deadline", NOON), NOON)
        self.assertEqual(self.ledger.promise("deadline", NOON + STEADY), NOON)
        self.cut_power()
        self.assertEqual(self.ledger.promise("deadline", NOON - STEADY), NOON)
        wrong = NOON + STEADY + 1
        self.assertEqual(self.ledger.promise("deadline", wrong), wrong)

    def test_a_new_pause_has_a_new_one(self) -> None:
        self.ledger.turn_to(key())
        for begin, name in ((self.ledger.pause, "pause"), (self.ledger.defer, "deferral")):
            begin(HOUR)
            self.ledger.promise(name, NOON)
            begin(HOUR + 1)
            self.assertEqual(self.ledger.promise(name, NOON + 1), NOON + 1)


class FileTests(LedgerBench):
    def write(self, content: object) -> None:
        PrivateDirectory(self.directory).replace(NAME, json.dumps(content).encode())

    def content(self, **changes: Any) -> dict[str, Any]:
        self.waiting()
        found: dict[str, Any] = json.loads((self.directory / NAME).read_text())
        job = {
            **found["job"],
            **{name: changes.pop(name) for name in set(changes) & found["job"].keys()},
        }
        return {**found, "job": job, **changes}

    def test_it_is_the_agents_alone(self) -> None:
        self.waiting()
        self.assertEqual((self.directory / NAME).stat().st_mode & 0o777, 0o600)

    def test_nonsense_counts_as_nothing(self) -> None:
        contents: tuple[object, ...] = (
            [],
            {"schema": 1},
            self.content(granted=["flash"]),
            self.content(granted=None),
            self.content(step="flash"),
            self.content(waited=-1),
            self.content(waited="1"),
            self.content(waited=True),
            self.content(waited=1e300),
            self.content(paused=None),
            self.content(seen="x"),
            self.content(key=["a", 1]),
            self.content(key=["a", "1", 2]),
            self.content(promised={"pause": "x"}),
        )
        for content in contents:
            self.write(content)
            self.cut_power()
            self.assertEqual((self.ledger.key, self.ledger.paused), (None, 0.0), content)

    def test_another_format_counts_as_nothing(self) -> None:
        self.write(self.content(schema=2))
        self.cut_power()
        self.assertIsNone(self.ledger.key)

    def test_no_json(self) -> None:
        self.waiting()
        (self.directory / NAME).write_bytes(b"\xff\x00")
        self.cut_power()
        self.assertIsNone(self.ledger.key)

    def test_a_disk_that_takes_nothing(self) -> None:
        self.waiting()
        (self.directory / NAME).unlink()
        (self.directory / NAME).mkdir()
        for _ in range(3):
            self.ledger.grant(JobStep.INSTALL)
            self.ledger.defer(HOUR)
        self.assertEqual(self.ledger.standing.granted, {JobStep.INSTALL})

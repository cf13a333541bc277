"""The inventory: when it asks, what it reports, and what it does with AWS's answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import ProcessReactor
from tests.unit.hooks.case import TERM, FakePidfiles
from tests.unit.iotjobs.session import FakeSession, Published
from upparat import __version__
from upparat.config.settings import HookSettings, InventorySettings
from upparat.inventory.inventory import Inventory
from upparat.inventory.probe import Probe
from upparat.inventory.shadow import MAX_ATTEMPTS, MAX_LOST, PAUSE, SUBACK_TIMEOUT
from upparat.job import Hook
from upparat.mqtt.session import SubscribeError

TOPIC = "$aws/things/device/shadow/name/$package/update"


class LosingSession(FakeSession):
    """A session whose subscriptions fail with the connection, as those of paho do."""

    def lose(self) -> None:
        self.connected = False
        for _, granted in self.subscribing:
            if not granted.called:
                granted.errback(SubscribeError("the connection was lost"))
        super().lose()


class InventoryCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.session = LosingSession()
        self.busy = False
        self.make()

    def make(self, **changes: Any) -> None:
        settings = replace(InventorySettings(package="app", hook=("/hooks/inventory",)), **changes)
        hooks = HookSettings(
            commands={Hook.VERSION: ("/hooks/version",)}, retry_interval=10.0, max_retries=3
        )
        reactor: Any = self.reactor
        self.inventory = self.session.events = Inventory(
            reactor,
            self.session,
            "device",
            settings,
            hooks,
            agent="/state",
            free=lambda: not self.busy,
            probe=Probe(reactor, FakePidfiles(), 30.0, self.reactor.killpg),
            random=lambda: 0.5,
        )

    def connect(self) -> None:
        """Connect, and see that the list of jobs holds none."""
        self.session.connect()
        self.inventory.resume()

    def answers(self, text: bytes, code: int = 0) -> None:
        """Let the hook that runs now print this and exit."""
        process = self.reactor.last
        process.launched()
        process.protocol.childDataReceived(1, text)
        process.ends(code)

    def gather(self, version: bytes = b"1.0", attributes: bytes = b"slot=a") -> None:
        self.answers(version)
        self.answers(attributes)

    def reported(self) -> Published:
        """The only update since the last time; grants a subscription that is asked for."""
        if self.session.subscribing and not self.session.subscribing[-1][1].called:
            self.session.grant()
        return self.session.one()

    def accept(self, version: bytes = b"1.0", attributes: bytes = b"slot=a") -> None:
        self.gather(version, attributes)
        self.session.accept(self.reported())

    def reconnect(self) -> None:
        self.session.lose()
        self.inventory.pause()
        self.connect()

    def job(self) -> None:
        """A job comes, and ends."""
        self.inventory.pause()
        self.inventory.resume()

    def assert_quiet(self) -> None:
        """Nothing runs, and nothing was asked."""
        self.assertEqual([each for each in self.reactor.processes if each.pid], [])
        self.assertEqual(self.session.taken(), [])


class ReportTests(InventoryCase):
    def test_the_update(self) -> None:
        self.connect()
        self.gather()
        self.assertEqual(self.session.subscribing[0][0], (f"{TOPIC}/accepted", f"{TOPIC}/rejected"))
        update = self.reported()
        self.assertEqual(update.topic, TOPIC)
        attributes = {"slot": "a", "agent": __version__}
        self.assertEqual(
            update.body,
            {"state": {"reported": {"app": {"version": "1.0", "attributes": attributes}}}},
        )

    def test_the_facts_that_the_hooks_get(self) -> None:
        self.connect()
        for name in (b"version", b"inventory"):
            process = self.reactor.last
            self.assertEqual(list(process.argv[-4:]), [b"/hooks/" + name, b"0", b"0", b""])
            self.assertEqual(process.env[b"UPPARAT_HOOK"], name)
            self.assertEqual(process.env[b"UPPARAT_AGENT"], b"/state")
            self.assertEqual(process.env[b"UPPARAT_JOB_ID"], b"")
            self.answers(b"1.0")

    def test_without_a_hook_for_attributes(self) -> None:
        self.make(hook=())
        self.connect()
        self.answers(b"1.0")
        package = self.reported().body["state"]["reported"]["app"]
        self.assertEqual(package, {"version": "1.0", "attributes": {"agent": __version__}})

    def test_only_a_change_is_reported(self) -> None:
        self.connect()
        self.accept()
        self.job()
        self.gather()
        self.assert_quiet()
        self.reconnect()
        self.gather()
        self.assert_quiet()
        self.assertEqual(len(self.session.subscribing), 1)  # nothing to say, nothing to hear
        self.job()
        self.gather(b"2.0", b"")
        attributes = {"slot": None, "agent": __version__}
        package = self.reported().body["state"]["reported"]["app"]
        self.assertEqual(package, {"version": "2.0", "attributes": attributes})

    def test_one_subscription_for_each_connection(self) -> None:
        self.connect()
        for version in (b"1.0", b"2.0", b"3.0"):
            self.accept(version)
            self.job()
        self.assertEqual(len(self.session.subscribing), 1)

    def test_wrong_lines_are_one_line_of_the_log(self) -> None:
        self.connect()
        self.answers(b"1.0")
        with capturedLogs() as events:
            self.answers(b"a.b=1\nslot=a\nsecret\n")
        (line,) = [text for text in map(formatEvent, events) if "leaves out" in text]
        self.assertEqual(
            line,
            "Lines of the inventory hook that the report leaves out (2), the first: line 1 has a "
            "key of other characters than letters, digits and :_-",
        )
        attributes = self.reported().body["state"]["reported"]["app"]["attributes"]
        self.assertEqual(attributes["slot"], "a")

    def test_a_hook_that_fails(self) -> None:
        for hooks in (1, 2):
            self.reconnect()
            with capturedLogs() as events:
                for _ in range(hooks - 1):
                    self.answers(b"1.0")
                self.answers(b"", 1)
            name = ("version", "inventory")[hooks - 1]
            self.assertEqual(
                formatEvent(events[-1]), f"The package is not reported: {name} hook: Exit code: 1"
            )
            self.assert_quiet()

    def test_a_version_that_the_catalog_does_not_admit(self) -> None:
        self.connect()
        with capturedLogs() as events:
            self.answers(b"1:2.0")
        self.assertIn("admits no version '1:2.0'", formatEvent(events[-1]))
        self.assert_quiet()

    def test_a_hook_that_asks_for_another_attempt(self) -> None:
        self.connect()
        for _ in range(2):
            self.answers(b"", 3)
            self.assert_quiet()
            self.reactor.advance(10)
        self.answers(b"", 3)
        self.reactor.advance(1000)
        self.assert_quiet()
        self.reconnect()
        self.answers(b"", 3)
        self.reactor.advance(10)
        self.accept()

    def test_nothing_is_asked_again_for_a_job_in_hand(self) -> None:
        self.connect()
        self.answers(b"", 3)
        self.inventory.pause()
        self.reactor.advance(1000)
        self.assert_quiet()


class JobsFirstTests(InventoryCase):
    """The jobs come first: no probe runs beside one."""

    def test_not_before_the_list_of_jobs(self) -> None:
        self.session.connect()
        self.assert_quiet()
        self.inventory.resume()
        self.accept()

    def test_not_beside_a_hook_that_outlives_its_job(self) -> None:
        self.busy = True
        self.connect()
        self.assert_quiet()
        self.busy = False
        self.inventory.resume()
        self.accept()

    def test_not_without_a_connection(self) -> None:
        self.inventory.resume()
        self.assert_quiet()

    def test_a_job_ends_the_probe_and_waits_for_it(self) -> None:
        self.connect()
        self.reactor.last.launched()
        gone = self.inventory.make_way()
        self.assertEqual(self.reactor.kills, [(1000, TERM)])
        self.assertNoResult(gone)
        self.inventory.resume()  # while the old probe still ends
        self.assertEqual(len(self.reactor.processes), 1)
        self.inventory.pause()
        self.reactor.last.ends(signal=15)
        self.successResultOf(gone)
        self.assert_quiet()
        self.inventory.resume()
        self.accept()

    def test_a_job_waits_for_nothing_else(self) -> None:
        self.connect()
        self.gather()
        self.successResultOf(self.inventory.make_way())
        self.session.accept(self.reported())
        self.assert_quiet()

    def test_after_a_job_also_if_an_update_was_under_way(self) -> None:
        self.connect()
        self.gather()
        update = self.reported()
        self.job()
        self.session.accept(update)
        self.accept(b"2.0")

    def test_shut_down(self) -> None:
        self.connect()
        self.reactor.last.launched()
        gone = self.inventory.shut_down()
        self.assertNoResult(gone)
        self.reactor.last.ends(signal=15)
        self.successResultOf(gone)
        self.session.lose()
        self.connect()
        self.assert_quiet()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_shut_down_before_another_attempt(self) -> None:
        self.connect()
        self.answers(b"", 3)
        self.successResultOf(self.inventory.shut_down())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_shut_down_while_an_update_is_under_way(self) -> None:
        for granted in (False, True):
            self.make()
            self.connect()
            self.gather()
            if granted:
                self.reported()
            self.successResultOf(self.inventory.shut_down())
            self.reactor.advance(0)
            self.assertEqual(self.reactor.getDelayedCalls(), [])


class AnswerTests(InventoryCase):
    def refuse(self, code: object, **members: object) -> str:
        """Refuse the update, and return the last line of the log."""
        with capturedLogs() as events:
            payload = {"code": code, "message": "why\x07", **members}
            self.session._answer(self.reported(), "rejected", payload)
        return formatEvent(events[-1])

    def test_a_refusal_is_not_repeated_on_this_connection(self) -> None:
        for code in (400, 401, 403, 404, 409, 413, 415):
            self.reconnect()
            self.gather()
            self.assertEqual(self.refuse(code), f"The package is not reported: {code}: why")
            self.job()
            self.gather()
            self.assert_quiet()
            self.job()
            self.gather(b"2.0")  # another package may please AWS
            self.assertIn("not reported", self.refuse(code))

    def test_a_refusal_for_the_moment_is_repeated(self) -> None:
        for code in (429, 500, 503):
            self.reconnect()
            self.gather()
            for _ in range(MAX_ATTEMPTS - 1):
                self.assertIn("again in", self.refuse(code))
                self.reactor.advance(100)
            self.assertIn(f"is not reported: {code}", self.refuse(code))
            self.reactor.advance(1000)
            self.assert_quiet()

    def test_a_refusal_for_the_moment_that_passes(self) -> None:
        self.connect()
        self.gather()
        self.refuse(429)
        self.reactor.advance(100)
        self.session.accept(self.reported())
        self.job()
        self.gather()
        self.assert_quiet()

    def test_silence_never_costs_the_connection(self) -> None:
        self.connect()
        self.gather()
        self.reported()
        for _ in range(100):
            self.reactor.advance(100)
        self.assertEqual(len(self.session.taken()), MAX_ATTEMPTS - 1)
        self.assertEqual(self.session.given_up, [])
        self.job()
        self.accept()

    def test_an_answer_that_cannot_be_read(self) -> None:
        self.connect()
        self.gather()
        update = self.reported()
        for payload in (b"{", b"[]", b'{"code": 403}' * 2):
            self.session.events.received(f"{TOPIC}/accepted", payload)
        self.session.accept(update)
        self.job()
        self.gather()
        self.assert_quiet()

    def test_answers_that_are_for_others(self) -> None:
        self.connect()
        self.gather()
        update = self.reported()
        for topic in (f"{TOPIC}/documents", "$aws/things/device/jobs/get/accepted", "x"):
            self.session.events.received(topic, b"{}")
        self.session.events.received(f"{TOPIC}/accepted", b'{"clientToken": "another"}')
        self.session.accept(update)

    def test_the_broker_does_not_grant_the_topics(self) -> None:
        self.connect()
        self.gather()
        with capturedLogs() as events:
            self.session.subscribing[-1][1].errback(SubscribeError("the broker refuses it"))
        self.assertEqual(
            formatEvent(events[-1]),
            "The package is not reported: NotSubscribed: the broker refuses it",
        )
        self.job()
        self.gather()
        self.assert_quiet()
        self.reconnect()
        self.accept()

    def test_the_broker_does_not_answer_the_subscription(self) -> None:
        self.connect()
        self.gather()
        self.reactor.advance(SUBACK_TIMEOUT)
        self.assert_quiet()
        self.assertEqual(self.session.given_up, [])


class LostConnectionTests(InventoryCase):
    def lose(self, *, granted: bool) -> None:
        self.gather()
        if granted:
            self.reported()
        self.reconnect()

    def test_the_next_connection_asks_and_reports_anew(self) -> None:
        self.connect()
        self.lose(granted=True)
        self.accept(b"2.0")
        self.assertEqual(len(self.session.subscribing), 2)

    def test_a_probe_outlives_the_connection_and_its_answer_does_not(self) -> None:
        self.connect()
        self.session.lose()
        self.gather()
        self.assert_quiet()
        self.connect()
        self.accept()

    def test_a_policy_that_forbids_the_topics(self) -> None:
        for granted in (False, True):
            self.session = LosingSession()
            self.make()
            self.connect()
            for _ in range(MAX_LOST - 1):
                self.lose(granted=granted)
            with capturedLogs() as events:
                self.lose(granted=granted)
            (line,) = [text for text in map(formatEvent, events) if "policy" in text]
            self.assertIn(f"may forbid {TOPIC}", line)
            self.assert_quiet()
            self.reactor.advance(PAUSE)
            self.reconnect()
            self.accept()

    def test_connections_that_are_lost_at_other_times(self) -> None:
        self.connect()
        self.accept()
        for _ in range(2 * MAX_LOST):
            self.reconnect()
            self.gather()
        self.assert_quiet()
        self.reconnect()
        self.accept(b"2.0")

    def test_an_answer_proves_the_policy_right(self) -> None:
        self.connect()
        for number in range(5 * MAX_LOST):
            version = b"%d.0" % number
            self.gather(version)
            update = self.reported()
            self.reconnect()
            self.accept(version)
            self.session.accept(update)  # late
            self.reconnect()
        self.assertTrue(self.reactor.last.pid)

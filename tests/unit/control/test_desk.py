"""The desk: followers, and requests to AWS."""

from __future__ import annotations

from tests.unit.control.bench import JOB, PAST, ControlBench
from upparat.control.desk import CHECK_INTERVAL, FOLLOW_INTERVAL, REFRESH_INTERVAL
from upparat.snapshots import Wait, WaitKind


class FollowTests(ControlBench):
    def test_the_status_and_then_each_change(self) -> None:
        peer = self.peer()
        [first] = peer.asks("follow")
        self.assertEqual(first["state"], "monitor")
        self.clock.advance(FOLLOW_INTERVAL)
        self.assertEqual(peer.heard(), [])
        self.agent.state, self.agent.job = "download", JOB
        self.clock.advance(FOLLOW_INTERVAL)
        [second] = peer.heard()
        self.assertEqual((second["state"], second["job"]["id"]), ("download", "job-1"))
        self.clock.advance(FOLLOW_INTERVAL)
        self.assertEqual(peer.heard(), [])

    def test_many_changes_are_few_events(self) -> None:
        peer = self.peer()
        peer.asks("follow")
        for number in range(100):
            self.agent.state = f"state {number}"
            self.clock.advance(0.01)
        self.assertLessEqual(len(peer.heard()), 4)

    def test_a_sign_of_life(self) -> None:
        peer = self.peer()
        peer.asks("follow")
        self.clock.pump([FOLLOW_INTERVAL] * int(REFRESH_INTERVAL / FOLLOW_INTERVAL))
        self.assertEqual(len(peer.heard()), 1)

    def test_nobody_looks_when_nobody_follows(self) -> None:
        first, second = self.peer(), self.peer()
        first.asks("follow")
        second.asks("follow")
        first.leaves()
        self.agent.state = "download"
        self.clock.advance(FOLLOW_INTERVAL)
        self.assertEqual(len(second.heard()), 1)
        second.leaves()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        third = self.peer()
        self.assertEqual(third.asks("follow")[0]["state"], "download")
        third.leaves()

    def test_a_status_that_cannot_be_made(self) -> None:
        """It ends the clients, and is one line in the log."""
        peer = self.peer()
        peer.asks("follow")
        self.agent.connection = None  # type: ignore[assignment]
        self.clock.pump([FOLLOW_INTERVAL] * 5)
        self.assertTrue(peer.dropped)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CheckTests(ControlBench):
    def test_asked(self) -> None:
        self.assertEqual(self.peer().asks("check_now"), [{"protocol": 1, "type": "check_now"}])
        self.assertEqual(self.checks, 1)

    def test_one_request_answers_many_clients(self) -> None:
        for _ in range(5):
            self.peer().asks("check_now")
        self.assertEqual(self.checks, 1)
        self.clock.advance(CHECK_INTERVAL)
        self.peer().asks("check_now")
        self.assertEqual(self.checks, 2)

    def test_no_connection(self) -> None:
        self.connected = False
        [answer] = self.peer().asks("check_now")
        self.assertEqual(answer["error"], "not_connected")
        self.connected = True
        self.peer().asks("check_now")
        self.assertEqual(self.checks, 1)


class DecisionTests(ControlBench):
    def test_each_reaches_the_agent_with_who_has_made_it(self) -> None:
        for name, more, call in (
            ("approve", {}, ("approve", None, None, 1000, 7)),
            (
                "approve",
                {"step": "install", "job": "a"},
                ("approve", "install", "a", 1000, 7),
            ),
            ("defer", {"job": "a", "seconds": 60}, ("defer", "a", 60.0, 1000, 7)),
            ("pause", {}, ("pause", None, 1000, 7)),
            ("pause", {"seconds": 60}, ("pause", 60.0, 1000, 7)),
            ("resume", {}, ("resume", 1000, 7)),
        ):
            peer = self.peer()
            [answer] = peer.asks(name, **more)
            self.assertEqual((answer["type"], answer["text"]), ("decision", f"done: {name}"))
            self.assertTrue(peer.closed)
            self.assertEqual(self.agent.decisions.calls.pop(), call)

    def test_a_refusal_says_why(self) -> None:
        for problem, code in (
            (PermissionError("user 1 may not"), "not_allowed"),
            (LookupError("job b is not in hand"), "not_in_hand"),
            (ValueError("no step waits"), "bad_request"),
        ):
            self.agent.decisions.problem = problem
            [answer] = self.peer().asks("approve")
            self.assertEqual((answer["error"], answer["message"]), (code, str(problem)))

    def test_a_deferral_needs_a_time(self) -> None:
        [answer] = self.peer().asks("defer", job="a")
        expected = ("bad_request", "seconds: must be more than 0")
        self.assertEqual((answer["error"], answer["message"]), expected)

    def test_the_status_says_what_a_step_waits_for(self) -> None:
        self.agent.policy = Wait(WaitKind.APPROVAL, "install waits", 60.0)
        [status] = self.peer().asks("status")
        [wait] = status["waiting"]
        self.assertEqual((wait["for"], wait["seconds"]), ("approval", 60.0))


class InstallTests(ControlBench):
    def ask(self) -> dict[str, object]:
        peer = self.peer()
        [answer] = peer.asks("install", path="/a", offset=512, document={"version": "2.0"})
        self.assertTrue(peer.closed)
        return answer

    def test_an_order_reaches_the_agent_with_who_has_given_it(self) -> None:
        answer = self.ask()
        self.assertEqual((answer["type"], answer["job"]), ("install", "local@1"))
        self.assertEqual(self.agent.installs.orders, [("/a", 512, {"version": "2.0"}, 1000, 7)])

    def test_a_refusal_says_why(self) -> None:
        for problem, code in (
            (PermissionError("user 1 may not"), "not_allowed"),
            (ValueError("version: is missing"), "bad_request"),
            (RuntimeError("local@1 is not over yet"), "busy"),
        ):
            self.agent.installs.problem = problem
            answer = self.ask()
            self.assertEqual((answer["error"], answer["message"]), (code, str(problem)))

    def test_the_status_says_what_an_install_waits_for(self) -> None:
        self.agent.install = "local@1"
        self.agent.turn = Wait(WaitKind.OTHER_JOB, "local@1 waits until job a is over")
        [status] = self.peer().asks("status")
        self.assertEqual(status["install"], "local@1")
        self.assertEqual([each["for"] for each in status["waiting"]], ["other_job"])


class HistoryTests(ControlBench):
    def test_the_jobs_that_are_over(self) -> None:
        self.agent.history = (PAST,) * 20
        [answer] = self.peer().asks("history")
        self.assertEqual([job["id"] for job in answer["jobs"]], ["job-0"] * 20)
        [status] = self.peer().asks("status")
        self.assertEqual(len(status["history"]), 5)

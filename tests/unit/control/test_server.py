"""The server: one request a client, and what rude clients get."""

from __future__ import annotations

import os

from tests.unit.control.bench import ControlBench, Peer
from upparat.control.desk import FOLLOW_INTERVAL, MAX_CLIENTS
from upparat.control.outbox import MAX_WAITING
from upparat.control.protocol import MAX_REQUEST
from upparat.control.server import REQUEST_TIMEOUT

STATUS = b'{"protocol":1,"request":"status"}\n'


class RequestTests(ControlBench):
    def test_a_status(self) -> None:
        peer = self.peer()
        [status] = peer.asks("status")
        self.assertEqual(status["agent"]["pid"], os.getpid())
        self.assertTrue(peer.closed)
        self.assertFalse(peer.dropped)

    def test_a_request_in_pieces(self) -> None:
        peer = self.peer()
        for number in range(len(STATUS)):
            self.assertEqual(peer.heard(), [])
            peer.sends(STATUS[number : number + 1])
        self.assertEqual(len(peer.heard()), 1)

    def test_one_request_a_connection(self) -> None:
        peer = self.peer()
        peer.sends(STATUS * 3)
        peer.sends(STATUS)
        self.assertEqual(len(peer.heard()), 1)

    def test_nonsense(self) -> None:
        peer = self.peer()
        peer.sends(b"GET / HTTP/1.1\r\n")
        [error] = peer.heard()
        self.assertEqual((error["error"], peer.closed), ("bad_request", True))

    def test_a_fault_of_the_agent(self) -> None:
        self.agent.connection = None  # type: ignore[assignment]
        [error] = self.peer().asks("status")
        self.assertEqual(error["error"], "failed")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class RudeTests(ControlBench):
    def test_a_line_without_an_end(self) -> None:
        peer = self.peer()
        peer.sends(b"x" * MAX_REQUEST)
        self.assertEqual(peer.heard(), [])
        peer.sends(b"x")
        [error] = peer.heard()
        self.assertEqual(error["message"], f"the request is longer than {MAX_REQUEST} bytes")
        self.assertTrue(peer.closed)

    def test_a_follower_that_goes_on_talking(self) -> None:
        peer = self.peer()
        peer.asks("follow")
        for _ in range(MAX_REQUEST // 1024):
            peer.sends(b"x" * 1024)
        self.assertFalse(peer.closed)
        peer.sends(b"x")
        self.assertTrue(peer.dropped)

    def test_one_that_asks_nothing(self) -> None:
        peer = self.peer()
        peer.sends(STATUS[:10])
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertTrue(peer.dropped)

    def test_many(self) -> None:
        peers = [self.peer() for _ in range(MAX_CLIENTS)]
        for _ in range(3):
            late = self.peer()
            self.assertEqual([each["error"] for each in late.heard()], ["busy"])
            self.assertTrue(late.closed)
            late.leaves()
        peers[0].leaves()
        self.assertEqual(len(self.peer().asks("status")), 1)

    def test_one_that_leaves_early(self) -> None:
        peer = self.peer()
        peer.leaves()
        self.assertEqual((self.desk.clients, self.clock.getDelayedCalls()), (set(), []))

    def test_a_follower_that_never_reads(self) -> None:
        """It gets no newer status, so nothing heaps up, and in the end it is dropped."""
        peer, other = self.peer(), self.peer()
        peer.asks("follow")
        other.asks("follow")
        peer.stops_reading()
        for number in range(int(REQUEST_TIMEOUT / FOLLOW_INTERVAL) + 1):
            self.assertFalse(peer.dropped)
            self.agent.state = f"state {number}"
            self.clock.advance(FOLLOW_INTERVAL)
        self.assertEqual(peer.heard(), [])
        self.assertTrue(peer.dropped)
        self.assertEqual(len(other.heard()), int(REQUEST_TIMEOUT / FOLLOW_INTERVAL) + 1)
        self.assertFalse(other.closed)

    def test_a_follower_that_reads_late(self) -> None:
        peer = self.peer()
        peer.asks("follow")
        peer.stops_reading()
        self.agent.state = "download"
        self.clock.advance(FOLLOW_INTERVAL)
        peer.reads_on()
        self.agent.state = "install"
        self.clock.advance(FOLLOW_INTERVAL)
        self.assertEqual([each["state"] for each in peer.heard()], ["install"])
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertFalse(peer.closed)


class LogTests(ControlBench):
    def lines(self, peer: Peer) -> list[str]:
        return [each["line"] for each in peer.heard() if each["type"] == "log"]

    def test_a_log(self) -> None:
        for job in (None, "job-1"):
            peer = self.peer()
            answer = peer.asks("log", job=job)
            self.assertEqual([each.get("line") for each in answer], ["one", "two", None])
            self.assertEqual((answer[-1]["type"], peer.closed), ("end", True))

    def test_an_unknown_job(self) -> None:
        [error] = self.peer().asks("log", job="job-9")
        self.assertEqual(error["message"], "there is no log of job job-9")

    def test_no_log_at_all(self) -> None:
        self.logs.texts.clear()
        [error] = self.peer().asks("log")
        self.assertEqual(error["message"], "there is no log of any job")

    def test_an_agent_without_logs(self) -> None:
        self.desk.logs = None
        [error] = self.peer().asks("log")
        self.assertEqual(error["error"], "no_logs")

    def test_following(self) -> None:
        peer = self.peer()
        peer.sends(b'{"protocol":1,"request":"log","follow":true}\n')
        self.assertEqual(self.lines(peer), ["one", "two"])
        [tell] = self.logs.listeners
        tell("three")
        self.assertEqual(self.lines(peer), ["three"])
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertFalse(peer.closed)
        peer.leaves()
        self.assertEqual(self.logs.listeners, [])

    def test_a_follower_that_never_reads(self) -> None:
        peer = self.peer()
        peer.sends(b'{"protocol":1,"request":"log","follow":true}\n')
        peer.stops_reading()
        [tell] = self.logs.listeners
        for _ in range(MAX_WAITING // 1000):
            tell("x" * 900)
        self.assertFalse(peer.dropped)
        for _ in range(100):
            tell("x" * 900)
        self.assertTrue(peer.dropped)

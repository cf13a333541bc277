"""A probe: its answer, its end, and the pidfile by which the next agent finds it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import ProcessReactor
from tests.unit.hooks.case import KILL, TERM, FakePidfiles
from upparat.hooks.child import GRACE
from upparat.inventory.probe import MAX_LINES, Probe, ProbeEnded, ProbeFailed, ProbeLater
from upparat.job import Hook


class ProbeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.pidfiles = FakePidfiles()
        self.probe = Probe(
            self.reactor,  # type: ignore[arg-type]
            self.pidfiles,
            30.0,
            self.reactor.killpg,
        )

    def run_it(self) -> Deferred[list[str]]:
        answer = self.probe.run(["/hooks/version", "--flag"], [b"0"], {b"A": b"1"})
        self.reactor.last.launched()
        return answer

    def prints(self, text: bytes) -> None:
        self.reactor.last.protocol.childDataReceived(1, text)

    def reason(self, answer: Deferred[list[str]], kind: type[Exception] = ProbeFailed) -> str:
        return str(self.failureResultOf(answer, kind).value)

    def idle(self) -> None:
        self.assertFalse(self.probe.running)
        self.assertEqual(self.pidfiles.pids, {})
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_answer(self) -> None:
        answer = self.run_it()
        self.assertTrue(self.probe.running)
        self.assertEqual(self.pidfiles.pids, {Hook.VERSION: 1000})
        self.assertEqual(list(self.reactor.last.argv[-3:]), [b"/hooks/version", b"--flag", b"0"])
        self.assertEqual(self.reactor.last.env, {b"A": b"1"})
        self.prints(b"one\n2.")
        self.prints(b"0")
        self.assertNoResult(answer)
        self.reactor.last.ends()
        self.assertEqual(self.successResultOf(answer), ["one", "2.0"])
        self.idle()

    def test_a_flood_is_bounded(self) -> None:
        answer = self.run_it()
        self.prints(b"noise\n" * 10 * MAX_LINES + b"last\n")
        self.reactor.last.ends()
        lines = self.successResultOf(answer)
        self.assertEqual((len(lines), lines[-1]), (MAX_LINES, "last"))

    def test_nothing_is_left_of_the_run_before(self) -> None:
        self.run_it()
        self.prints(b"old\n")
        self.reactor.last.ends()
        answer = self.run_it()
        self.reactor.last.ends()
        self.assertEqual(self.successResultOf(answer), [])

    def test_failures(self) -> None:
        for ends, reason in (
            ({"code": 1}, "Exit code: 1"),
            ({"signal": 11}, "Killed by signal 11 (SIGSEGV)"),
        ):
            answer = self.run_it()
            self.reactor.last.ends(**ends)
            self.assertEqual(self.reason(answer), reason)
            self.idle()

    def test_later(self) -> None:
        answer = self.run_it()
        self.reactor.last.ends(3)
        self.reason(answer, ProbeLater)

    def test_cannot_be_executed(self) -> None:
        self.reactor.failures = [OSError(12, "out of memory")]
        answer = self.probe.run(["/hooks/version"], [], {})
        self.assertEqual(self.reason(answer), "cannot be executed: Cannot allocate memory")
        self.assertFalse(self.probe.running)
        answer = self.probe.run(["surely-no-such-command"], [], {})
        self.assertIn("No such file", self.reason(answer))

    def test_without_python(self) -> None:
        answer = self.probe.run(["/hooks/version"], [], {})
        self.reactor.last.ends(127)
        self.assertIn("Python cannot be started", self.reason(answer))

    def test_a_pidfile_that_cannot_be_written(self) -> None:
        def full(hook: Hook, pid: int) -> None:
            raise OSError(28, "full")

        self.patch(self.pidfiles, "write", full)
        answer = self.run_it()
        self.reactor.last.ends()
        self.successResultOf(answer)

    def test_time_out(self) -> None:
        answer = self.run_it()
        self.reactor.advance(29.9)
        self.assertEqual(self.reactor.kills, [])
        self.reactor.advance(0.1)
        self.assertEqual(self.reactor.kills, [(1000, TERM)])
        self.reactor.last.ends(signal=15)
        self.assertEqual(self.reason(answer), "Timed out after 30s")
        self.idle()
        answer = self.run_it()
        self.reactor.last.ends()
        self.assertEqual(self.successResultOf(answer), [])

    def test_end(self) -> None:
        answer = self.run_it()
        gone = self.probe.end()
        self.assertEqual(self.reactor.kills, [(1000, TERM)])
        self.assertNoResult(gone)
        self.assertNoResult(answer)
        self.reactor.advance(GRACE)
        self.assertEqual(self.reactor.kills[1:], [(1000, KILL)])
        self.reactor.last.ends(signal=9)
        self.reason(answer, ProbeEnded)
        self.successResultOf(gone)
        self.idle()

    def test_end_counts_even_if_it_exits_with_0(self) -> None:
        answer = self.run_it()
        self.probe.end()
        self.reactor.last.ends()
        self.reason(answer, ProbeEnded)

    def test_end_of_nothing(self) -> None:
        self.successResultOf(self.probe.end())

    def test_who_waits_for_the_end_may_stop_waiting(self) -> None:
        answer = self.run_it()
        first, second = self.probe.end(), self.probe.end()
        first.addErrback(lambda failure: None)
        first.cancel()
        self.reactor.last.ends()
        self.successResultOf(second)
        self.reason(answer, ProbeEnded)

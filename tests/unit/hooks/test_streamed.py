"""Install hooks that read the file from their stdin, with child processes that only pretend."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.downloads import make_job
from tests.unit.hooks.case import HookTestCase
from upparat.hooks.launcher import GUARD_FD, RELEASE
from upparat.hooks.streamed import NO_GUARD, STDIN_CLOSED_EARLY, UNVERIFIED
from upparat.job import Hook, Job
from upparat.ports import STREAM
from upparat.streaming import StreamConsumer

JOB = make_job("https://h/f")
KILL = signal.SIGKILL


class FakeSource:
    def __init__(self) -> None:
        self.outlets: list[StreamConsumer] = []
        self.calls: list[str] = []

    def stream(self, job: Job, outlet: StreamConsumer) -> None:
        self.outlets.append(outlet)
        self.calls.append(f"stream {job.job_id}")

    def cancel_stream(self, outlet: StreamConsumer) -> None:
        assert outlet is self.outlets[-1]
        self.calls.append("unstream")


class Bench(HookTestCase):
    def make(self, **changes: Any) -> None:
        super().make(**changes)
        self.source = FakeSource()
        self.runner._source = self.source

    def begin(self) -> StreamConsumer:
        self.run_hook(Hook.INSTALL, JOB, STREAM)
        return self.source.outlets[-1]

    def kills(self) -> list[int]:
        return [number for _, number in self.reactor.kills]

    def guarded(self) -> bool:
        """Whether the guard was left with its pipe, and will not let go of stdin."""
        return self.reactor.last.others.get(GUARD_FD, b"") == b""

    def wait_for_room(self, outlet: StreamConsumer, data: bytes) -> Deferred[None]:
        """The pipe is full with this."""
        producer = self.reactor.last.producer
        assert producer is not None
        producer.pauseProducing()
        return outlet.write(data)


class GoodTests(Bench):
    def test_the_whole_way(self) -> None:
        outlet = self.begin()
        self.assertEqual(self.command()[-1], b"-")
        self.assertEqual(self.source.calls, ["stream job"])
        self.successResultOf(outlet.write(b"1"))
        outlet.finish_stdin()
        self.assertTrue(self.guarded(), "what is not in the pipe can be lost")
        self.reactor.last.flushes()
        self.assertEqual(self.reactor.last.others, {GUARD_FD: RELEASE})
        self.assertEqual(self.reactor.last.stdin, b"\n1")
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("installed",)])
        self.assertEqual(self.kills(), [])
        self.reactor.advance(0)
        self.assert_idle()

    def test_room(self) -> None:
        outlet = self.begin()
        room = self.wait_for_room(outlet, b"1")
        self.assertNoResult(room)
        assert self.reactor.last.producer is not None
        self.reactor.last.producer.resumeProducing()
        self.successResultOf(room)

    def test_a_guard_that_has_gone(self) -> None:
        outlet = self.begin()
        outlet.finish_stdin()
        self.reactor.last.open_fds.discard(GUARD_FD)
        self.reactor.last.flushes()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("installed",)])

    def test_another_try(self) -> None:
        self.begin()
        self.reactor.last.ends(3)
        self.assertEqual(self.source.calls, ["stream job", "unstream"])
        self.reactor.advance(self.settings.retry_interval)
        self.assertEqual(self.source.calls, ["stream job", "unstream", "stream job"])
        self.assertEqual(self.told(), [])

    def test_a_file_on_the_disk_is_as_ever(self) -> None:
        self.run_hook(Hook.INSTALL, JOB, "/file")
        self.assertEqual(self.source.calls, [])
        self.assertTrue(self.reactor.last.empty_stdin)


class UnverifiedTests(Bench):
    def test_hooks_that_end_too_early(self) -> None:
        for end, message in (
            ({"code": 0}, UNVERIFIED),
            ({"code": 7}, "Exit code: 7"),
            ({"signal": 9}, "Killed by signal 9 (SIGKILL)"),
        ):
            self.begin()
            self.reactor.last.exits(**end)
            self.assertEqual(self.kills()[-1:], [KILL], "others of its group may still read")
            self.assertTrue(self.guarded())
            self.reactor.last.closes()
            self.reactor.advance(0)
            self.assertEqual(self.told(), [("hook_failed", "install", message)])
            self.assertEqual(self.source.calls[-1], "unstream")

    def test_one_that_closes_stdin(self) -> None:
        self.begin()
        self.reactor.last.flushes()
        self.assertEqual(self.kills(), [KILL])
        self.reactor.last.ends(signal=KILL)
        self.assertEqual(self.told(), [("hook_failed", "install", STDIN_CLOSED_EARLY)])

    def test_the_rest_of_the_file_comes_before_the_exit_is_known(self) -> None:
        outlet = self.begin()
        outlet.write(b"1")
        self.reactor.last.protocol.childConnectionLost(0)
        self.successResultOf(outlet.write(b"2"))
        outlet.finish_stdin()
        self.reactor.last.ends(0)
        self.assertEqual(self.told(), [("hook_failed", "install", UNVERIFIED)])

    def test_end_of_the_file_that_nobody_has_read(self) -> None:
        outlet = self.begin()
        outlet.finish_stdin()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("hook_failed", "install", UNVERIFIED)])

    def test_the_file_will_not_come(self) -> None:
        outlet = self.begin()
        room = self.wait_for_room(outlet, b"1")
        gone = outlet.fail()
        self.assertEqual(self.kills(), [KILL])
        self.assertNoResult(gone)
        self.reactor.last.ends(signal=KILL)
        self.successResultOf(gone)
        self.successResultOf(room)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.source.calls, ["stream job"], "it knows already")
        self.reactor.advance(0)
        self.assert_idle()
        self.run_hook(Hook.VERSION)
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "")])

    def test_the_file_comes_anew(self) -> None:
        outlet = self.begin()
        outlet.run_again("no ranges")
        self.assertEqual(self.kills(), [KILL])
        self.reactor.last.ends(signal=KILL)
        self.assertEqual(self.told(), [])
        self.reactor.advance(self.settings.retry_interval)
        self.reactor.last.launched()
        self.assertEqual(self.command()[3], b"1")
        self.source.outlets[-1].finish_stdin()
        self.reactor.last.flushes()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("installed",)])

    def test_outlets_of_runs_that_are_over(self) -> None:
        outlet = self.begin()
        self.reactor.last.ends(7)
        self.successResultOf(outlet.write(b"1"))
        self.successResultOf(outlet.fail())
        outlet.run_again("late")
        self.assertEqual(len(self.reactor.processes), 1)

    def test_the_job_is_cancelled(self) -> None:
        self.begin()
        self.runner.release()
        self.assertEqual(self.kills(), [KILL])
        self.reactor.last.ends(signal=KILL)
        self.assertEqual(self.told(), [("released",)])

    def test_the_job_is_cancelled_after_the_verdict(self) -> None:
        outlet = self.begin()
        outlet.finish_stdin()
        self.reactor.last.flushes()
        self.runner.release()
        self.assertEqual(self.kills(), [])
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("released",)])

    def test_the_agent_is_stopped(self) -> None:
        self.begin()
        stopped = self.runner.shut_down()
        self.assertEqual(self.kills(), [KILL], "it might take SIGTERM for the end of its input")
        self.reactor.last.ends(signal=KILL)
        self.successResultOf(stopped)

    def test_the_agent_is_stopped_after_the_verdict(self) -> None:
        outlet = self.begin()
        outlet.finish_stdin()
        self.reactor.last.flushes()
        self.runner.shut_down()
        self.assertEqual(self.kills(), [signal.SIGTERM])

    def test_without_a_launcher_there_is_no_guard(self) -> None:
        self.runner.run(Hook.INSTALL, JOB, STREAM)
        self.reactor.last.exits(1)
        self.reactor.last.closes()
        self.reactor.advance(0)
        self.assertEqual(self.told(), [("hook_failed", "install", NO_GUARD)])
        self.reactor.failures.append(OSError(2, "No such file"))
        self.runner.run(Hook.INSTALL, JOB, STREAM)
        [(_, _, message)] = self.told()
        self.assertTrue(message.startswith("cannot be executed"))


class TimeTests(Bench):
    """The limit is 100 seconds."""

    def test_the_network_may_take_its_time(self) -> None:
        outlet = self.begin()
        self.reactor.advance(1000)
        self.successResultOf(outlet.write(b"1"))
        self.reactor.advance(1000)
        self.assertEqual(self.kills(), [])

    def test_a_hook_that_does_not_read(self) -> None:
        outlet = self.begin()
        room = self.wait_for_room(outlet, b"1")
        self.reactor.advance(100)
        self.assertEqual(self.kills(), [KILL])
        self.reactor.last.ends(signal=KILL)
        self.successResultOf(room)
        message = "Timed out after 100s and was ended"
        self.assertEqual(self.told(), [("hook_failed", "install", message)])

    def test_a_hook_that_does_not_end(self) -> None:
        outlet = self.begin()
        outlet.finish_stdin()
        self.reactor.last.flushes()
        self.reactor.advance(100)
        self.assertEqual(self.kills(), [signal.SIGTERM])

    def test_one_that_cannot_be_killed_never_sees_an_end(self) -> None:
        outlet = self.begin()
        self.reactor.forbidden = True
        gone = outlet.fail()
        self.reactor.advance(5)
        self.successResultOf(gone)
        self.assertTrue(self.guarded())
        self.flushLoggedErrors()

"""The step timer: its minutes, its renewal, and what the simulator of AWS makes of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.simulator.faults import Action, Request, rejected
from tests.simulator.responder import Responder
from tests.simulator.rules import parse_topic, request_breaches
from tests.simulator.store import Store
from tests.support.ports import execution
from tests.unit.iotjobs.undelivered import FakeUndelivered
from upparat.config.settings import DownloadSettings, HookSettings
from upparat.download.transfer import BACKOFF
from upparat.iotjobs.client import JobsClient
from upparat.iotjobs.steps import MOST, PAUSE, RENEWALS, StepTimer, step_minutes
from upparat.iotjobs.wire import execution as parse_execution
from upparat.job import Hook, JobExecution, Report, State, Status
from upparat.mqtt.session import MqttSession

START = Report(State.DOWNLOAD_START)
INSTALL = Report(State.INSTALLATION_START, "none")
REBOOT = Report(State.REBOOT_START)
DONE = Report(State.COMPLETE_READY)

HOOKS = HookSettings(
    timeouts={**dict.fromkeys(Hook, 60.0), Hook.INSTALL: 600.0},
    retry_interval=60.0,
    max_retries=2,
    restart_grace=30.0,
    restart_timeout=90.0,
    restart_attempts=3,
)
DOWNLOAD = DownloadSettings(connect_timeout=16.0, idle_timeout=20.0, max_attempts=6)


class MinutesTests(SynchronousTestCase):
    def minutes(self, **hooks: Any) -> dict[str, int]:
        steps = step_minutes(replace(HOOKS, **hooks), DOWNLOAD)
        return {state.value: steps(state) for state in State if state.status is Status.IN_PROGRESS}

    def test_each_phase_and_an_hour_without_a_connection(self) -> None:
        download, install, restart = 60 + 10, 60 + 22, 60 + 12 + 2 + 4 + 4
        rollback = 60 + 4 + 12 + 2 + 4
        self.assertEqual(
            self.minutes(),
            {
                "download_start": download,
                "download_progress": download,
                "download_interrupt": download,
                "installation_start": install,
                "installation_progress": install,
                "installation_interrupt": install,
                "reboot_start": restart,
                "reboot_interrupt": restart,
                "rollback_start": rollback,
                "waiting_for_window": 60 + 24 * 60,
                "waiting_for_approval": 60 + 24 * 60,
            },
        )

    def test_a_streamed_file_is_installed_while_it_comes(self) -> None:
        for option in ("install_stream", "install_url"):
            minutes = self.minutes(**{option: True})
            self.assertEqual(minutes["download_progress"], minutes["installation_start"])
            self.assertEqual(minutes["download_progress"], 60 + 22)

    def test_aws_admits_a_week(self) -> None:
        minutes = self.minutes(max_retries=10**6)
        self.assertEqual(set(minutes.values()), {60 + 10, 60 + 24 * 60, MOST})
        self.assertEqual(step_minutes(HookSettings(), DownloadSettings())(State.REBOOT_START), MOST)

    def test_whole_minutes(self) -> None:
        self.assertEqual(self.minutes(retry_interval=60.1)["installation_start"], 60 + 23)

    def test_the_pause_is_that_of_downloads(self) -> None:
        self.assertEqual(PAUSE, BACKOFF.cap)


class RenewalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.repeated: list[tuple[str, State]] = []
        self.timer = StepTimer(self.clock, lambda state: 15, self.repeat)

    def repeat(self, execution: JobExecution, report: Report) -> None:
        self.repeated.append((execution.job_id, report.state))

    def test_at_a_third_of_the_time(self) -> None:
        self.timer.reported(execution("a"), INSTALL)
        self.clock.advance(299)
        self.assertEqual(self.repeated, [])
        self.clock.advance(1)
        self.assertEqual(self.repeated, [("a", INSTALL.state)])
        self.clock.advance(300)
        self.assertEqual(len(self.repeated), 2)

    def test_each_report_begins_anew(self) -> None:
        for report in (START, INSTALL):
            self.timer.reported(execution("a"), report)
            self.clock.advance(200)
        self.assertEqual(self.repeated, [])
        self.clock.advance(100)
        self.assertEqual(self.repeated, [("a", INSTALL.state)])

    def test_the_end(self) -> None:
        self.timer.reported(execution("a"), INSTALL)
        self.timer.stop()
        self.timer.reported(execution("a"), DONE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_an_earlier_agent_has_reported(self) -> None:
        self.timer.resume(execution("a", Status.IN_PROGRESS, "reboot_start"))
        self.assertEqual(self.repeated, [("a", State.REBOOT_START)])
        self.clock.advance(300)
        self.assertEqual(len(self.repeated), 2)

    def test_what_no_agent_of_ours_has_reported(self) -> None:
        for status, state in (
            (Status.QUEUED, ""),
            (Status.QUEUED, "reboot_start"),
            (Status.IN_PROGRESS, ""),
            (Status.IN_PROGRESS, "strange"),
            (Status.IN_PROGRESS, "complete_ready"),
        ):
            self.timer.resume(execution("a", status, state))
        self.assertEqual((self.repeated, self.clock.getDelayedCalls()), ([], []))

    def test_off(self) -> None:
        timer = StepTimer(self.clock, None, self.repeat)
        timer.resume(execution("a", Status.IN_PROGRESS, "reboot_start"))
        timer.reported(execution("a"), INSTALL)
        self.assertEqual((self.repeated, self.clock.getDelayedCalls()), ([], []))


class Aws:
    """A session with the simulator of AWS, on a clock.

    :ivar actions: what happens to each request.
    :ivar steps: the step timer of each update.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = Store("T", clock.seconds)
        self.connected = True
        self.actions: list[Action] = []
        self.steps: list[object] = []
        self.breaches: list[str] = []
        self._responder = Responder(self.store)
        self.client = self.start()

    def start(self, steps: bool = True) -> JobsClient:
        """Start the agent anew."""
        self.client = JobsClient(
            self.clock,
            self,
            "T",
            FakeUndelivered([]),
            poll_interval=1e9,
            progress_interval=0,
            steps=step_minutes(HOOKS, DOWNLOAD) if steps else None,
            random=lambda: 0.5,
        )
        self.events = Events()
        self.client.events = self.events
        self.client.connected()
        return self.client

    def follow(self) -> JobExecution:
        """Take the job in hand, as AWS describes it now."""
        found = self._responder.answer(
            parse_topic("$aws/things/T/jobs/a/get"),  # type: ignore[arg-type]
            Request("describe", "a", {}, "", 0.0),
        )
        described = parse_execution(found.payload, "a")
        self.client.follow(described)
        return described

    def wait(self, hours: float) -> None:
        for _ in range(int(60 * hours)):
            self.clock.advance(60)
            self.store.expire()

    @property
    def status(self) -> Status:
        return self.store.execution("a").status

    # --- MqttSession ---

    def publish(self, topic: str, payload: bytes) -> bool:
        if not self.connected:
            return False
        target = parse_topic(topic)
        assert target is not None
        request = Request(target.operation, target.job_id, json.loads(payload), topic, 0.0)
        self.breaches += request_breaches(target, request.body)
        if request.operation == "update":
            self.steps.append(request.body.get("stepTimeoutInMinutes"))
        reply = self._responder.answer(target, request, self.actions)
        answer = json.dumps(reply.payload).encode()
        self.clock.callLater(0, self.client.received, f"{topic}/{reply.verdict}", answer)
        return True

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        return succeed(None)

    def disconnect_and_retry(self, reason: str) -> None:
        """Nothing is lost on this connection."""


class Events:
    """The events of the execution that is followed."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def delivered(self, state: State) -> None:
        self.told.append(state)

    def undeliverable(self, state: State) -> None:
        self.told.append(("undeliverable", state))

    def cancelled(self) -> None:
        self.told.append("cancelled")

    def changed(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def _is_a_session(aws: Aws) -> MqttSession:
    return aws


class LifeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.aws = Aws(self.clock)
        self.aws.store.create_job("a", {"action": "upparat-update"})

    def tearDown(self) -> None:
        self.assertEqual(self.aws.breaches, [])

    def report(self, *reports: Report) -> JobExecution:
        followed = self.aws.follow()
        for report in reports:
            self.aws.client.report(followed, report)
            self.clock.advance(0)
        return followed

    def test_the_job_of_a_dead_device_times_out(self) -> None:
        for report, hours in ((START, 70 / 60), (INSTALL, 82 / 60), (REBOOT, 82 / 60)):
            self.setUp()
            self.report(report)
            self.aws.client.close()
            self.aws.wait(hours - 1 / 60)
            self.assertEqual(self.aws.status, Status.IN_PROGRESS)
            self.aws.wait(1 / 60)
            self.assertEqual(self.aws.status, Status.TIMED_OUT)

    def test_the_job_of_a_slow_device_does_not(self) -> None:
        for report in (START, INSTALL, REBOOT):
            self.setUp()
            self.report(report)
            self.aws.wait(100)
            self.assertEqual(self.aws.status, Status.IN_PROGRESS)
            self.assertEqual(self.aws.events.told, [report.state])  # a renewal is no news
            self.assertLess(len(self.aws.steps), 100 * RENEWALS)

    def test_without_a_timer_nothing_is_ended_and_nothing_repeated(self) -> None:
        self.aws.start(steps=False)
        self.report(START)
        self.aws.wait(1000)
        self.assertEqual((self.aws.status, self.aws.steps), (Status.IN_PROGRESS, [None]))

    def test_an_outage_of_an_hour(self) -> None:
        self.report(START)
        self.aws.wait(34 / 60)
        self.aws.connected = False
        self.aws.client.disconnected("cut")
        self.aws.wait(35 / 60)
        self.aws.connected = True
        self.aws.client.connected()
        self.aws.wait(10)
        self.assertEqual(self.aws.status, Status.IN_PROGRESS)

    def test_the_next_agent_goes_on_with_the_timer(self) -> None:
        self.report(REBOOT)
        self.aws.client.close()
        self.aws.wait(81 / 60)
        self.aws.start()
        self.aws.follow()
        self.aws.wait(10)
        self.assertEqual(self.aws.status, Status.IN_PROGRESS)
        self.assertEqual(self.aws.events.told, [])  # or the restart hook would run again

    def test_the_end_sets_no_timer(self) -> None:
        self.report(START, DONE)
        self.assertEqual(self.aws.steps, [70, None])
        self.aws.wait(10)
        self.assertEqual(len(self.aws.steps), 2)

    def test_nothing_is_renewed_that_nobody_works_on(self) -> None:
        self.report(START)
        self.aws.client.unfollow()
        self.aws.wait(2)
        self.assertEqual(self.aws.status, Status.TIMED_OUT)

    def test_a_renewal_that_aws_refuses_is_made_again_in_time(self) -> None:
        self.report(START)
        self.aws.actions = [rejected("Strange")]
        self.aws.wait(24 / 60)
        self.aws.actions = []
        self.assertEqual(len(self.aws.steps), 2)
        self.aws.wait(10)
        self.assertEqual(self.aws.status, Status.IN_PROGRESS)
        self.assertEqual(self.aws.events.told, [START.state])

    def test_no_report_waits_for_a_renewal_that_aws_refuses(self) -> None:
        followed = self.report(START)
        self.aws.actions = [rejected("Strange")]
        self.aws.wait(24 / 60)
        self.aws.actions = []
        self.aws.client.report(followed, INSTALL)
        self.clock.advance(0)
        self.assertEqual(self.aws.events.told, [START.state, INSTALL.state])

    def test_a_report_that_is_under_way_renews_as_well(self) -> None:
        followed = self.report(START)
        self.aws.connected = False
        self.aws.client.disconnected("cut")
        self.aws.client.report(followed, INSTALL)
        self.aws.wait(24 / 60)
        self.aws.connected = True
        self.aws.client.connected()
        self.clock.advance(0)
        self.assertEqual(self.aws.steps, [70, 82])

    def test_a_renewal_that_comes_too_late(self) -> None:
        self.report(START)
        self.aws.store.cancel("a", force=True)
        self.aws.wait(1)
        self.assertEqual(self.aws.events.told, [START.state, "cancelled"])
        self.aws.wait(10)
        self.assertEqual(len(self.aws.steps), 2)

"""How the service joins its parts, starts them and stops them; each part is a fake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution, key
from upparat import sentry
from upparat import service as module
from upparat.config.address import ListenAddress
from upparat.config.reader import load
from upparat.config.settings import (
    ControlSettings,
    DeltaSettings,
    InventorySettings,
    Require,
    Settings,
    StepTimeout,
)
from upparat.control import service as control
from upparat.inventory import inventory
from upparat.job import Job, JobExecutionSummary, Report, State, Status
from upparat.ports import Memory
from upparat.service import FAREWELL, LONGEST, UpparatService
from upparat.snapshots import EndedJob
from upparat.web import service as web

NO_CONTROL = ControlSettings(socket=None)
DONE = Report(State.COMPLETE_READY)


class Part:
    """Notes what it is told, and answers with what the test has put in ``answers``."""

    def __init__(self, name: str, calls: list[tuple[Any, ...]], answers: dict[str, Any]) -> None:
        self._name, self._calls, self._answers = name, calls, answers
        self.events: Any = None
        self.connected = True

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any) -> Any:
            self._calls.append((f"{self._name}.{method}", *arguments))
            return self._answers.get(f"{self._name}.{method}")

        return call


class ServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.drained: Deferred[None] = succeed(None)
        self.answers: dict[str, Any] = {
            "record.owed": [],
            "hooks.wait_for_leftovers": succeed(None),
            "hooks.shut_down": succeed(None),
            "downloads.shut_down": succeed(None),
            "jobs.drain": self.drained,
        }
        self.parts: dict[str, Part] = {}
        for name, kind in {
            "record": "FileRecord",
            "mqtt": "MqttService",
            "jobs": "JobsClient",
            "downloads": "Downloader",
            "hooks": "HookRunner",
            "timer": "ReactorTimer",
            "logs": "JobLogs",
            "uploads": "LogUploader",
        }.items():
            self.parts[name] = Part(name, self.calls, self.answers)
            self.patch(module, kind, lambda *_, name=name, **__: self.parts[name])
        self.clock = Clock()

    def make(self, **service: Any) -> UpparatService:
        settings: Settings = replace(load(None), control=NO_CONTROL)
        settings = replace(settings, service=replace(settings.service, **service))
        return UpparatService(self.clock, settings)  # type: ignore[arg-type]

    def taken(self) -> list[tuple[Any, ...]]:
        taken, self.calls[:] = list(self.calls), []
        return taken

    def started(self) -> UpparatService:
        service = self.make()
        service.startService()
        self.taken()
        return service

    # --- start ---

    def test_start(self) -> None:
        self.make().startService()
        self.assertEqual(
            self.taken(),
            [
                ("logs.start",),
                ("record.load",),
                ("record.owed",),
                ("uploads.start",),
                ("downloads.clean", None),
                ("mqtt.startService",),
                ("hooks.wait_for_leftovers",),
                ("record.uncleaned",),
                ("jobs.fetch",),
            ],
        )

    def warnings(self, **changes: Any) -> list[str]:
        """What the start warns of, with these sections."""
        settings: Settings = replace(load(None), control=NO_CONTROL, **changes)
        with capturedLogs() as events:
            UpparatService(self.clock, settings).startService()  # type: ignore[arg-type]
        return [
            formatEvent(event)
            for event in events
            if event["log_level"] in (LogLevel.warn, LogLevel.error)
        ]

    def test_a_delta_for_a_hook_that_fetches(self) -> None:
        hooks = replace(load(None).hooks, install_url=True)
        seeds = DeltaSettings(seeds=(Path("/dev/a"),))
        for delta, ignored in ((seeds, True), (DeltaSettings(), False)):
            said = " ".join(self.warnings(hooks=hooks, delta=delta))
            self.assertIs("[delta] is ignored" in said, ignored)

    def test_a_broker_for_everybody(self) -> None:
        [warning] = self.warnings()
        self.assertIn("Whoever can reach the broker at 127.0.0.1 can have files", warning)
        for changes in (
            {"broker": replace(load(None).broker, username="me")},
            {"broker": replace(load(None).broker, cafile="ca.pem")},
            {"verify": replace(load(None).verify, require=Require.SIGNATURE)},
        ):
            self.assertEqual(self.warnings(**changes), [])

    def test_each_problem_of_the_file_is_an_error(self) -> None:
        broker = replace(load(None).broker, username="me")
        self.assertEqual(
            self.warnings(broker=broker, problems=("[hooks] ready: none", "[x]: unknown section")),
            [
                "The configuration is wrong: [hooks] ready: none",
                "The configuration is wrong: [x]: unknown section",
            ],
        )

    def test_what_is_owed_is_reported_and_never_run_again(self) -> None:
        self.answers["record.owed"] = [(execution("a"), DONE)]
        service = self.make()
        service.startService()
        self.assertIn(("jobs.report", execution("a"), DONE), self.taken())
        self.assertIn(key("a"), service._core.ended)

    def test_the_file_of_a_job_whose_end_is_owed_is_removed(self) -> None:
        for state, removed in (
            (State.COMPLETE_READY, True),
            (State.NO_INSTALLATION_HOOK_PROVIDED, False),
        ):
            self.answers["record.owed"] = [(execution("a"), Report(state))]
            self.make().startService()
            self.assertEqual(("downloads.discard", key("a")) in self.taken(), removed)

    def test_the_file_of_the_update_in_hand_is_kept(self) -> None:
        self.answers["record.load"] = Memory(key("a"))
        self.make().startService()
        self.assertIn(("downloads.clean", key("a")), self.taken())

    def test_nothing_begins_before_an_old_installer_has_ended(self) -> None:
        settled: Deferred[None] = Deferred()
        self.answers["hooks.wait_for_leftovers"] = settled
        self.make().startService()
        self.assertNotIn(("jobs.fetch",), self.taken())
        settled.callback(None)
        self.assertEqual(self.taken(), [("record.uncleaned",), ("jobs.fetch",)])

    def test_the_owner_of_the_log(self) -> None:
        """The execution in hand, before the one that is remembered."""
        service = self.make()
        self.assertIsNone(service._execution())
        service._core.memory = Memory(key("a"))
        self.assertEqual(service._execution(), key("a"))
        service._core.job = Job(execution("b"), "2.0", "https://s3.test/f")
        self.assertEqual(service._execution(), key("b"))

    def test_what_is_owed_begins_its_upload_before_others_go_on(self) -> None:
        self.answers["record.owed"] = [(execution("a"), DONE)]
        self.make().startService()
        names = [call[0] for call in self.taken()]
        self.assertLess(names.index("jobs.report"), names.index("uploads.start"))

    def test_the_parts_speak_to_the_machine(self) -> None:
        service = self.make()
        for name in ("downloads", "hooks", "timer"):
            self.assertIs(self.parts[name].events, service._machine)
        self.assertIs(self.parts["jobs"].events, service._all_jobs)
        self.assertIs(service._all_jobs.events, service._machine)
        self.assertIs(self.parts["mqtt"].events, self.parts["jobs"])

    # --- stop ---

    def test_stop(self) -> None:
        self.successResultOf(self.started().stopService())
        self.assertEqual(
            [call[0] for call in self.taken()],
            [
                "timer.cancel",
                "uploads.stop",
                "hooks.shut_down",
                "downloads.shut_down",
                "jobs.drain",
                "jobs.close",
                "mqtt.stopService",
                "logs.stop",
            ],
        )

    def test_stop_waits_for_the_last_reports(self) -> None:
        self.answers["jobs.drain"] = Deferred()
        stopped = self.started().stopService()
        self.clock.advance(FAREWELL - 0.1)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)

    def test_stop_does_not_wait_for_a_line_that_is_down(self) -> None:
        self.answers["jobs.drain"] = Deferred()
        self.parts["mqtt"].connected = False
        self.successResultOf(self.started().stopService())

    def test_stop_waits_for_hooks(self) -> None:
        ended: Deferred[None] = Deferred()
        self.answers["hooks.shut_down"] = ended
        stopped = self.started().stopService()
        self.assertNoResult(stopped)
        ended.callback(None)
        self.successResultOf(stopped)

    def test_stop_does_not_wait_for_ever(self) -> None:
        self.answers["hooks.shut_down"] = Deferred()
        self.answers["downloads.shut_down"] = Deferred()
        service = self.started()
        stopped = service.stopService()
        self.clock.advance(LONGEST - 1)
        self.assertNoResult(stopped)
        self.clock.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(
            self.taken()[-3:], [("jobs.close",), ("mqtt.stopService",), ("logs.stop",)]
        )

    def test_a_part_that_cannot_be_stopped_does_not_keep_the_others(self) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("broken")

        service = self.started()
        vars(self.parts["mqtt"])["stopService"] = broken
        self.successResultOf(service.stopService())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_after_the_stop_nothing_begins(self) -> None:
        settled: Deferred[None] = Deferred()
        self.answers["hooks.wait_for_leftovers"] = settled
        service = self.started()
        self.successResultOf(service.stopService())
        self.taken()
        settled.callback(None)
        self.assertEqual(self.taken(), [])

    # --- the step timer ---

    def test_reports_set_a_step_timer_only_if_asked(self) -> None:
        made: list[Any] = []

        def make_jobs(*_: Any, steps: Any, **__: Any) -> Part:
            made.append(steps)
            return self.parts["jobs"]

        self.patch(module, "JobsClient", make_jobs)
        self.make()
        self.make(step_timeout=StepTimeout.AUTO)
        off, auto = made
        self.assertIsNone(off)
        self.assertEqual(auto(State.DOWNLOAD_START), 137)

    # --- the inventory ---

    def with_inventory(self) -> UpparatService:
        self.answers["inventory.shut_down"] = succeed(None)
        self.answers["inventory.make_way"] = way = Deferred[None]()
        self.parts["inventory"] = Part("inventory", self.calls, self.answers)
        made: dict[str, Any] = {}
        self.patch(inventory, "Inventory", lambda *_, **more: self.parts["inventory"])
        self.patch(
            module, "HookRunner", lambda *_, **more: made.update(more) or self.parts["hooks"]
        )
        settings = replace(
            load(None), control=NO_CONTROL, inventory=InventorySettings(package="app")
        )
        service = UpparatService(self.clock, settings)  # type: ignore[arg-type]
        self.assertIs(made["make_way"](), way)
        service.startService()
        self.taken()
        return service

    def inventory_calls(self) -> list[str]:
        names = [call[0] for call in self.taken()]
        return [name for name in names if name.startswith("inventory.")]

    def test_the_inventory_may_ask_while_no_job_is_in_hand(self) -> None:
        machine = self.with_inventory()._machine
        machine.pending([], [])
        self.assertEqual(self.inventory_calls(), ["inventory.resume"])
        machine.changed()
        machine.pending([], [JobExecutionSummary(key("a"), Status.QUEUED)])
        self.assertEqual(self.inventory_calls(), [])
        machine.described(execution("a"))
        self.assertEqual(set(self.inventory_calls()), {"inventory.pause"})

    def test_the_jobs_hear_of_the_session_first(self) -> None:
        self.with_inventory()
        self.parts["mqtt"].events.received("topic", b"1")
        heard = [call[0] for call in self.taken()]
        self.assertEqual(heard, ["jobs.received", "inventory.received"])

    def test_the_stop_ends_the_inventory(self) -> None:
        self.successResultOf(self.with_inventory().stopService())
        self.assertIn("inventory.shut_down", self.inventory_calls())

    # --- the control socket ---

    def controlled(self) -> UpparatService:
        part = self.parts["control"] = Part("control", self.calls, self.answers)
        self.patch(control, "ControlService", lambda *_: part)
        settings = replace(load(None), control=ControlSettings(socket=Path("/nowhere")))
        return UpparatService(self.clock, settings)  # type: ignore[arg-type]

    def test_the_control_socket_is_there_before_the_first_job(self) -> None:
        self.controlled().startService()
        calls = [call[0] for call in self.taken()]
        self.assertLess(calls.index("control.startService"), calls.index("mqtt.startService"))

    def test_the_control_socket_is_there_until_the_end(self) -> None:
        service = self.controlled()
        service.startService()
        self.successResultOf(service.stopService())
        last = [call[0] for call in self.taken()][-3:]
        self.assertEqual(last, ["mqtt.stopService", "control.stopService", "logs.stop"])

    def test_the_control_hears_of_the_end_of_each_job(self) -> None:
        service = self.controlled()
        ended = EndedJob(key("a"), "2.0", "SUCCEEDED", "complete_ready", "none")
        service._core.on_ended(ended)
        self.assertIn(("control.job_ended", ended), self.taken())

    def test_without_a_connection_only_installs_by_hand_are_done(self) -> None:
        part = self.parts["control"] = Part("control", self.calls, self.answers)
        self.patch(control, "ControlService", lambda *_: part)
        settings = replace(load(None), control=NO_CONTROL)
        service = UpparatService(self.clock, settings, online=False)  # type: ignore[arg-type]
        service.startService()
        started = {call[0] for call in self.taken()}
        self.assertEqual({"mqtt.startService", "uploads.start"} & started, set())
        self.assertIn("control.startService", started)
        self.successResultOf(service.stopService())

    # --- the page ---

    def with_page(self) -> UpparatService:
        for name, module_, kind in (
            ("control", control, "ControlService"),
            ("page", web, "WebService"),
        ):
            part = self.parts[name] = Part(name, self.calls, self.answers)
            self.patch(module_, kind, lambda *_, part=part: part)
        settings = ControlSettings(socket=None, http=ListenAddress("127.0.0.1", 9110))
        service = UpparatService(self.clock, replace(load(None), control=settings))  # type: ignore[arg-type]
        self.taken()
        return service

    def test_the_page_is_there_from_before_the_first_job_to_the_end(self) -> None:
        service = self.with_page()
        service.startService()
        calls = [call[0] for call in self.taken()]
        self.assertLess(calls.index("page.startService"), calls.index("mqtt.startService"))
        self.successResultOf(service.stopService())
        last = [call[0] for call in self.taken()][-3:]
        self.assertEqual(last, ["page.stopService", "control.stopService", "logs.stop"])

    def test_without_an_address_nothing_is_counted(self) -> None:
        service = self.make()
        self.assertIsNone(service._tally)
        self.assertIs(self.parts["mqtt"].events, self.parts["jobs"])

    def test_the_tally_and_the_history_hear_of_the_end_of_each_job(self) -> None:
        service = self.with_page()
        ended = EndedJob(key("a"), "2.0", "SUCCEEDED", "complete_ready", "none")
        service._core.on_ended(ended)
        self.assertEqual(self.taken(), [("control.job_ended", ended)])
        assert service._tally is not None
        self.assertEqual(service._tally.jobs["SUCCEEDED", "complete_ready"], 1)

    def test_the_tally_hears_of_the_session_and_of_each_state(self) -> None:
        service = self.with_page()
        service.startService()
        self.parts["mqtt"].events.disconnected("why")
        service._machine.pending([], [])
        assert service._tally is not None
        self.assertEqual((service._tally.disconnections, service._tally.state), (1, "monitor"))

    # --- Sentry ---

    def test_sentry_only_with_a_dsn(self) -> None:
        told: list[Any] = []

        def start(dsn: str, release: str, *, secrets: list[str]) -> Any:
            told.append((dsn, release.split("@")[0]))
            return lambda: told.append("stopped")

        self.patch(sentry, "start", start)
        self.started()
        self.assertEqual(told, [])
        service = self.make(sentry_dsn="https://key@sentry.test/1")
        service.startService()
        self.assertEqual(told, [("https://key@sentry.test/1", "upparat")])
        self.successResultOf(service.stopService())
        self.assertEqual(told[1:], ["stopped"])

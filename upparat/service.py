"""The agent as a service: joins the machine and its ports, and starts and stops them in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    TimeoutError,
    maybeDeferred,
    succeed,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from . import __version__, sentry
from .byhand.jobs import InstallJobs
from .byhand.spool import InstallSpool
from .config.settings import Require, Settings, StepTimeout
from .control.reactor import ControlReactor
from .download.downloader import Downloader
from .download.exchange import DownloadReactor
from .download.verifier import Verifier
from .hooks.child import ChildReactor
from .hooks.runner import HookRunner
from .iotjobs.client import JobsClient
from .iotjobs.steps import Steps, step_minutes
from .job import ExecutionKey
from .joblog.client import UploadClient
from .joblog.directory import LogDirectory
from .joblog.logs import JobLogs
from .joblog.pending import PendingUploads
from .joblog.uploader import LogUploader
from .linux import give_back_memory
from .machine import Core, Guard, Inputs, Policy, make_machine
from .mqtt.service import MqttReactor, MqttService
from .mqtt.session import MqttSessionEvents
from .policy.gate import PolicyGate
from .snapshots import EndedJob
from .storage.lock import Claim
from .storage.record import FileRecord
from .streaming import StreamProducer, UrlLender
from .systemd import ServiceManager
from .timer import ReactorTimer

if TYPE_CHECKING:
    from .control.agent import Agent
    from .control.service import ControlService
    from .download.shortcut import Shortcut
    from .download.streamed import StreamDownloader
    from .inventory.inventory import Inventory
    from .metrics.tally import Tally
    from .relay.downloader import UrlDownloader
    from .web.service import WebService

FAREWELL = 2.0
"""Seconds for AWS to accept the last reports when the agent is stopped."""

LOGS = "logs"
"""The directory of the jobs' logs, in the state directory."""

DELTA = "delta"
"""The directory of the tables of chunks, in the state directory."""

LONGEST = 20.0
"""Seconds for hooks and downloads to end when the agent is stopped. They need up to 12; work that
takes longer is left behind."""


LOOKING = ("monitor", "fetch_jobs", "select_job")
"""The states of the machine without a job in hand, in which a probe of the inventory may run."""


class AgentReactor(MqttReactor, ChildReactor, DownloadReactor, ControlReactor):
    """The interfaces of a reactor that the agent needs."""


class UpparatService(Service):
    """The agent. ``startService`` connects. ``stopService`` fires when nothing runs any more.

    :param abort: called when only a new start of the process helps.
    :param claim: the directories of the agent, which no other agent has.
    :param online: connect to the broker. Otherwise only installs by hand are done.
    """

    log = Logger()

    def __init__(
        self,
        reactor: AgentReactor,
        settings: Settings,
        abort: Callable[[], None] = lambda: None,
        claim: Claim | None = None,
        *,
        online: bool = True,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._online = online
        self._claim = claim
        self._state = "idle"
        self._tally = self._make_tally() if settings.control.http else None
        self._record = FileRecord(settings.service.state_dir)
        self._mqtt = MqttService(reactor, settings.broker)
        self._jobs = JobsClient(
            reactor,
            self._mqtt,
            settings.broker.thing_name,
            self._record,
            poll_interval=settings.service.poll_interval,
            progress_interval=settings.service.progress_interval,
            before_end=lambda execution, report: self._uploads.before_end(execution, report),
            steps=_steps(settings),
        )
        spool = InstallSpool(settings.service.state_dir)
        self._all_jobs = InstallJobs(self._jobs, spool, self._record, self._execution)
        self._downloads, source, lender = self._make_downloads()
        self._inventory = self._make_inventory() if settings.inventory.package else None
        self._hooks = HookRunner(
            reactor,
            settings.hooks,
            agent=str(settings.service.state_dir),
            source=source,
            lender=lender,
            file_problem=self._downloads.file_problem,
            attempts=self._tally.counting(self._record) if self._tally else self._record,
            make_way=self._make_way,
        )
        self._timer = ReactorTimer(reactor)
        self._gate = PolicyGate(reactor, settings.policy, settings.service.state_dir)
        self._logs, self._uploads = self._make_logs()
        self._core = self._make_core()
        self._core.on_left = self._uploads.after_end
        self._abort = abort
        self._guard = Guard(make_machine(self._core, self._moved), self._broke)
        self._machine = self._join()
        self._manager = ServiceManager(reactor, lambda: not self._guard.broken, self._status)
        self._sentry_stop = lambda: None
        self.control = self._make_control()
        self._web = self._make_web()

    def startService(self) -> None:
        super().startService()
        if self._claim is not None:
            self._claim.sign()
        self._logs.start()
        if self._settings.service.sentry_dsn:
            self._start_sentry()
        memory = self._record.load()
        self._all_jobs.load(memory.key if memory else None)
        for execution, report in self._record.owed():
            self._core.ended.append(execution.key)
            self._all_jobs.report(execution, report)
            if report.discards:
                self._downloads.discard(execution.key)
        self.log.info(
            "Upparat {version} for {thing}",
            version=__version__,
            thing=self._settings.broker.thing_name,
            execution=memory.key if memory else None,
        )
        self._warn()
        if self._online:
            self._uploads.start()
        self._downloads.clean(memory.key if memory else None)
        if self.control is not None:
            self.control.startService()
        if self._web is not None:
            self._web.startService()
        if self._online:
            self._mqtt.startService()
        self._hooks.wait_for_leftovers().addCallback(lambda _: self._machine.start(memory))
        self._manager.ready()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._manager.stopping()
        self._machine.stop()
        self._timer.cancel()
        self._gate.leave()
        self._uploads.stop()
        ended: Deferred[Any] = DeferredList(
            [
                maybeDeferred(self._hooks.shut_down),
                maybeDeferred(self._downloads.shut_down),
                maybeDeferred(self._shut_inventory_down),
                self._say_farewell(),
            ],
            consumeErrors=True,
        )
        ended.addTimeout(LONGEST, self._reactor, self._stopped_late)
        ended.addCallback(lambda _: self._jobs.close())
        ended.addCallback(lambda _: self._mqtt.stopService())
        ended.addCallbacks(lambda _: self._sentry_stop(), self._stopped_badly)
        for part in filter(None, (self._web, self.control)):
            ended.addCallback(lambda _, part: part.stopService(), part)
        ended.addCallback(lambda _: self._manager.close())
        ended.addCallback(lambda _: self._logs.stop())
        return cast("Deferred[None]", ended)

    def _say_farewell(self) -> Deferred[None]:
        drained = self._jobs.drain()
        if self._mqtt.connected:
            drained.addTimeout(FAREWELL, self._reactor)
        elif not drained.called:
            drained.cancel()
        drained.addErrback(lambda failure: failure.trap(CancelledError, TimeoutError) and None)
        return drained

    def _stopped_late(self, _: object, seconds: float) -> None:
        self.log.error("Something has not ended within {seconds:g} s", seconds=seconds)

    def _stopped_badly(self, failure: Failure) -> None:
        self.log.failure("Stopping went wrong", failure)
        self._sentry_stop()

    def _warn(self) -> None:
        for problem in self._settings.problems:
            self.log.error("The configuration is wrong: {problem}", problem=problem)
        broker, require = self._settings.broker, self._settings.verify.require
        if (
            self._online
            and not broker.tls
            and not broker.username
            and require is not Require.SIGNATURE
        ):
            self.log.warn(
                "Whoever can reach the broker at {host} can have files installed: it is plain and "
                "asks for no password, and [verify] require is not signature",
                host=broker.host,
            )
        if self._settings.hooks.install_url and self._settings.delta.on:
            self.log.warn("[delta] is ignored: with [hooks] install_url the agent makes no file")

    def _start_sentry(self) -> None:
        service, broker = self._settings.service, self._settings.broker
        self._sentry_stop = sentry.start(
            service.sentry_dsn, f"upparat@{__version__}", secrets=[broker.password]
        )

    def _make_downloads(
        self,
    ) -> tuple[
        Downloader | StreamDownloader | UrlDownloader, StreamProducer | None, UrlLender | None
    ]:
        """Make the downloads; also as the source of streamed files, if files are streamed, or as
        the lender of URLs."""
        settings = self._settings
        arguments = (self._reactor, settings.download, settings.service.download_location)
        verifier = Verifier(settings.verify, unfit=settings.unfit)
        if settings.hooks.install_url:
            from .relay.downloader import UrlDownloader  # few devices need it

            lender = UrlDownloader(*arguments, verifier=verifier)
            return lender, None, lender
        shortcut = self._make_shortcut(verifier) if settings.delta.on else None
        if not settings.hooks.install_stream:
            renew = self._claim.renew if self._claim is not None else lambda: None
            stored = Downloader(*arguments, verifier=verifier, renew=renew, shortcut=shortcut)
            return stored, None, None
        from .download.streamed import StreamDownloader  # few devices need it

        streams = StreamDownloader(*arguments, verifier=verifier, shortcut=shortcut)
        return streams, streams, None

    def _make_shortcut(self, verifier: Verifier) -> Shortcut:
        from .delta.client import HttpLines  # few devices need it
        from .delta.shortcut import DeltaShortcut

        service, download = self._settings.service, self._settings.download
        return DeltaShortcut(
            self._settings.delta,
            service.state_dir / DELTA,
            service.download_location,
            HttpLines(self._reactor, download),
            identifies=verifier.identifies,
            patience=max(2, download.max_attempts // 2),
        )

    def _make_logs(self) -> tuple[JobLogs, LogUploader]:
        settings = self._settings
        service, directory = settings.service, settings.service.state_dir / LOGS
        heading = f"Upparat {__version__} for {settings.broker.thing_name}"
        logs = JobLogs(self._reactor, directory, self._execution, heading)
        uploads = LogUploader(
            self._reactor,
            logs,
            PendingUploads(LogDirectory(directory)),
            UploadClient(self._reactor, settings.download).put,
            self._jobs.renew,
            policy=service.log_upload,
            timeout=service.log_upload_timeout,
            allow_http=settings.download.allow_http,
        )
        return logs, uploads

    def _execution(self) -> ExecutionKey | None:
        """The execution in hand, or the one that the agent remembers and still asks for."""
        memory = self._core.memory
        return self._core.in_hand or (memory.key if memory else None)

    def _make_inventory(self) -> Inventory:
        from .inventory.inventory import Inventory  # few devices need it

        return Inventory(
            self._reactor,
            self._mqtt,
            self._settings.broker.thing_name,
            self._settings.inventory,
            self._settings.hooks,
            agent=str(self._settings.service.state_dir),
            free=lambda: not self._hooks.busy,
        )

    def _make_way(self) -> Deferred[None]:
        return self._inventory.make_way() if self._inventory else succeed(None)

    def _shut_inventory_down(self) -> Deferred[None] | None:
        return self._inventory.shut_down() if self._inventory else None

    def _make_control(self) -> ControlService | None:
        settings, service = self._settings.control, self._settings.service
        if self._online and settings.socket is None and settings.http is None:
            return None
        from .control.service import ControlService  # a device may do without it

        control = ControlService(
            self._reactor,
            settings,
            self._make_agent,
            self._jobs.check_now,
            service.state_dir,
            self._logs,
        )
        self._core.on_ended = control.job_ended
        return control

    def _make_agent(self) -> Agent:
        from .byhand.desk import InstallDesk
        from .control.agent import Agent
        from .policy.approvals import Approvals

        broker, service = self._settings.broker, self._settings.service
        users = self._settings.policy.users
        decisions = Approvals(self._gate, users, lambda: self._core.in_hand)
        return Agent(
            version=__version__,
            thing=broker.thing_name,
            host=broker.host,
            port=broker.port,
            downloads=service.download_location,
            state=lambda: self._state,
            connection=self._mqtt.snapshot,
            job=self._core.snapshot,
            pause=lambda: self._core.wait(self._timer.remaining),
            download=self._downloads.snapshot,
            hook=self._hooks.snapshot,
            policy=self._gate.snapshot,
            decisions=decisions,
            turn=self._all_jobs.wait,
            install=self._all_jobs.in_hand_id,
            installs=InstallDesk(self._all_jobs, decisions.admit),
        )

    def _make_tally(self) -> Tally:
        from .metrics.tally import Tally  # few devices need it

        return Tally(self._reactor.seconds, self._state)

    def _make_web(self) -> WebService | None:
        address, control, tally = self._settings.control.http, self.control, self._tally
        if address is None or control is None or tally is None:
            return None
        from .metrics.exposition import Metrics
        from .web.service import WebService

        def ended(job: EndedJob) -> None:
            tally.ended(job)
            control.job_ended(job)

        self._core.on_ended = ended
        metrics = Metrics(self._make_agent(), tally, lambda: self._downloads.fetched)
        return WebService(self._reactor, address, lambda: control.desk, metrics)

    def _make_core(self) -> Core:
        hooks, service = self._settings.hooks, self._settings.service
        return Core(
            jobs=self._all_jobs,
            downloads=self._downloads,
            hooks=self._hooks,
            timer=self._timer,
            record=self._record,
            gate=self._gate,
            policy=Policy(
                hooks=frozenset(hooks.commands),
                retry_interval=hooks.retry_interval,
                restart_grace=hooks.restart_grace,
                restart_timeout=hooks.restart_timeout,
                restart_attempts=hooks.restart_attempts,
                job_id_prefix=service.job_id_prefix,
                allow_downgrade=self._settings.verify.allow_downgrade,
                agent=__version__,
            ),
        )

    def _join(self) -> Inputs:
        machine = self._guard.inputs
        self._all_jobs.events = machine
        self._jobs.events = self._all_jobs
        self._downloads.events = machine
        self._hooks.events = machine
        self._timer.events = machine
        self._gate.events = machine
        self._mqtt.events = self._session_users()
        return machine

    def _session_users(self) -> MqttSessionEvents:
        others = [each for each in (self._inventory, self._tally) if each is not None]
        if not others:
            return self._jobs
        from .mqtt.fanout import SessionFanout

        return SessionFanout([self._jobs, *others])

    def _moved(self, old: str, name: str, new: str) -> None:
        self._state = new
        if self._tally is not None:
            self._tally.moved(new)
        if self.control is not None and self._core.in_hand:
            self.control.job_begun(self._core.in_hand)
        job_id = self._core.in_hand.job_id if self._core.in_hand else "no job"
        self.log.info("{job_id}: {old} -> {new}", job_id=job_id, old=old, new=new)
        self._manager.refresh()
        if self._inventory is not None:
            self._let_inventory_run(self._inventory, new)
        if new in ("monitor", "hold"):
            give_back_memory()

    def _let_inventory_run(self, inventory: Inventory, state: str) -> None:
        """Hooks of the inventory begin in ``monitor``, when the list of jobs is known to hold none
        for this agent."""
        if state == "monitor":
            inventory.resume()
        elif state not in LOOKING:
            inventory.pause()

    def _broke(self) -> None:
        """Abort in a later turn: the reactor may not run yet, and a port is still at work."""
        self._reactor.callLater(0, self._abort)

    def _status(self) -> str:
        """One line for ``systemctl status``."""
        job_id = f"{self._core.in_hand.job_id}: " if self._core.in_hand else ""
        line = "connected" if self._mqtt.connected else "not connected"
        return f"{job_id}{self._state}; {line} to {self._settings.broker.host}"


def _steps(settings: Settings) -> Steps | None:
    if settings.service.step_timeout is StepTimeout.OFF:
        return None
    return step_minutes(settings.hooks, settings.download)

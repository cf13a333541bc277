"""The jobs client: the ``Jobs`` port on AWS IoT Jobs over MQTT."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Mapping
from functools import partial

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.job import ExecutionKey, JobExecution, Report, Status
from upparat.mqtt.session import MqttSession, MqttSessionEvents
from upparat.oneshot import OneShot
from upparat.ports import Jobs, JobsEvents

from .reports import (
    NOT_FOUND_RETRY_INTERVAL,
    REJECTED_RETRY_INTERVAL,
    BeforeEnd,
    ReportListener,
    ReportQueue,
    UndeliveredReports,
    at_once,
)
from .requests import Requests, Response
from .steps import Steps, StepTimer
from .wire import (
    Malformed,
    Topics,
    addressable,
    decode,
    execution,
    execution_state,
    listed_keys,
    summaries,
)

SUBACK_TIMEOUT = 30.0
"""Seconds that the broker may take to grant the subscriptions."""

MAX_DESCRIBE_ATTEMPTS = 8
"""Attempts at a describe until the machine looks at the next execution. They take some minutes if
AWS rejects each of them for the moment, and about 10 minutes if it answers none."""

_ENDED = "TerminalStateReached"
"""The code of a rejected describe that means that the execution has ended."""

_OVER = frozenset({"ResourceNotFound", _ENDED})
"""Codes of a rejected describe that mean that the execution does not exist or has ended."""

NO_VERSION = 2**31 - 1
"""A version that no execution has: AWS adds 1 for each update."""


class JobsClient:
    """Asks for executions, watches the one in hand, and reports on it.

    After every connection it subscribes, waits until that is granted, and only then asks, because
    notifications that were sent while the device was offline never come.

    It asks at most one question of a kind at a time: the list of jobs, a description for the
    machine, and a check whether the execution that is followed has ended.

    :param poll_interval: seconds between two looks at everything, on average.
    :param progress_interval: least seconds between two reports of progress.
    :param before_end: see :class:`.reports.ReportQueue`.
    :param steps: minutes of AWS's step timer that a report of progress sets; ``None`` to set none.
    :param random: returns a number from 0 up to 1, for the jitter of all waits.
    """

    log = Logger()
    events: JobsEvents

    def __init__(
        self,
        clock: IReactorTime,
        session: MqttSession,
        thing_name: str,
        undelivered: UndeliveredReports,
        *,
        poll_interval: float = 300.0,
        progress_interval: float = 5.0,
        before_end: BeforeEnd = at_once,
        steps: Steps | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._clock = clock
        self._session = session
        self._topics = Topics(thing_name)
        self._random = random
        self._poll_interval = poll_interval
        self._poll = OneShot(clock)
        self._subscribing: Deferred[None] | None = None
        self._requests = Requests(clock, session, random)
        self._reports = ReportQueue(
            clock,
            self._requests,
            self._topics,
            progress_interval,
            self,
            undelivered,
            before_end,
            steps,
        )
        self._steps = StepTimer(clock, steps, self._reports.renew)
        # A question that is not open is a Deferred that has fired.
        self._listing: Deferred[None] = succeed(None)
        self._description: Deferred[None] = succeed(None)
        self._check: Deferred[None] = succeed(None)
        self._list_retry = OneShot(clock)
        self._fetch_wanted = False
        self._followed: JobExecution | None = None
        self._drained: Deferred[None] | None = None

    # --- Jobs ---

    def fetch(self) -> None:
        self._fetch_wanted = True
        self._fetch_when_free()

    def describe(self, job_id: str) -> None:
        self._description.cancel()
        if not addressable(job_id):
            self.events.describe_failed(job_id, False)
            return
        question = Deferred.fromCoroutine(self._describe_or_end(job_id))
        self._description = self._take(question, partial(self._described, job_id))

    def follow(self, execution: JobExecution) -> None:
        self._check.cancel()
        self._followed = execution
        self._reports.learn_version(execution)
        self._steps.resume(execution)

    def unfollow(self) -> None:
        self._followed = None
        self._steps.stop()
        self._check.cancel()

    def report(self, execution: JobExecution, report: Report) -> None:
        if report.status.ended and self._follows(execution.key):
            self.unfollow()
        self._reports.add(execution, report)

    # --- for uploads ---

    def renew(self, key: ExecutionKey) -> Deferred[JobExecution | None]:
        """Ask AWS for an execution as it is now, with fresh URLs in its document.

        Fires with ``None`` if it has ended or cannot be described. Cancel it to stop asking.
        """
        return Deferred.fromCoroutine(self._renew(key))

    async def _renew(self, key: ExecutionKey) -> JobExecution | None:
        if not addressable(key.job_id):
            return None
        try:
            response = await self._describe(key.job_id, with_document=True)
            found = execution(response.payload, key.job_id) if response.accepted else None
        except Malformed:
            return None
        return found if found is not None and found.key == key else None

    def check_now(self) -> bool:
        """Look at everything now. Returns ``False`` if there are no subscriptions: the agent looks
        as soon as it has them."""
        if not self._requests.ready:
            return False
        self._look_again()
        return True

    # --- MqttSessionEvents ---

    def connected(self) -> None:
        self._subscribing = self._session.subscribe(self._topics.filters)
        self._subscribing.addTimeout(SUBACK_TIMEOUT, self._clock)
        self._subscribing.addCallbacks(self._subscribed, self._not_subscribed)
        self._subscribing.addErrback(self._broken)

    def disconnected(self, reason: str) -> None:
        self._stop_subscribing()
        self._requests.session_lost()
        self._poll.cancel()

    def received(self, topic: str, payload: bytes) -> None:
        """Take any message: nothing that a broker sends may do harm."""
        if not topic.startswith(self._topics.base):
            self.log.debug("A message on {topic} is not for us", topic=topic)
            return
        try:
            message = decode(payload)
        except Malformed as malformed:
            self.log.warn("{topic}: {problem}", topic=topic, problem=str(malformed))
            self._requests.unreadable(topic.rpartition("/")[0])
            return
        if topic == self._topics.notify:
            self._notified(message)
            return
        request, _, verdict = topic.rpartition("/")
        if verdict in ("accepted", "rejected"):
            self._requests.answered(request, verdict == "accepted", message)

    # --- the end ---

    def drain(self) -> Deferred[None]:
        """Fires when every report given so far is delivered; cancel it to stop waiting."""
        self._drained = Deferred()
        if self._reports.empty:
            self._drained.callback(None)
        return self._drained

    def close(self) -> None:
        """Stop for good; no call is delayed any more."""
        self.unfollow()
        self._fetch_wanted = False
        self._listing.cancel()
        self._list_retry.cancel()
        self._description.cancel()
        self._reports.close()
        self._stop_subscribing()
        self._requests.close()
        self._poll.cancel()

    # --- subscribing ---

    def _subscribed(self, _: None) -> None:
        self.log.info("Subscribed to the jobs of {thing}", thing=self._topics.thing_name)
        self._requests.session_ready()
        self._look_again()

    def _not_subscribed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._session.disconnect_and_retry(f"subscribing failed: {failure.getErrorMessage()}")

    def _stop_subscribing(self) -> None:
        """Ignore what a connection grants while it ends; it must not count for the next one."""
        if self._subscribing is not None:
            self._subscribing.cancel()
        self._subscribing = None

    # --- questions ---

    async def _describe(self, job_id: str, *, with_document: bool) -> Response:
        """Ask for an execution, and once more if AWS does not find it.

        AWS's copies are only eventually consistent.
        """
        topic, payload = self._topics.describe(job_id), {"includeJobDocument": with_document}
        response = await self._requests.send(topic, payload, MAX_DESCRIBE_ATTEMPTS)
        if response.code != "ResourceNotFound":
            return response
        await deferLater(self._clock, NOT_FOUND_RETRY_INTERVAL)
        return await self._requests.send(topic, payload, MAX_DESCRIBE_ATTEMPTS)

    async def _describe_or_end(self, job_id: str) -> Response:
        """Ask for an execution.

        AWS refuses to describe one that has ended, and does not say how it has. An update that AWS
        refuses as well asks for that: the refusal names the state of the execution. It is repeated
        until AWS answers: what becomes of the update depends on that.
        """
        response = await self._describe(job_id, with_document=True)
        if response.code != _ENDED:
            return response
        update = {
            "status": Status.IN_PROGRESS.value,
            "expectedVersion": NO_VERSION,
            "includeJobExecutionState": True,
        }
        refused = await self._requests.send(self._topics.update(job_id), update)
        return Response(refused.payload, _ENDED)

    def _take(
        self, question: Deferred[Response], take: Callable[[Response], None]
    ) -> Deferred[None]:
        """Call ``take`` with the response; cancel the Deferred to forget the question.

        ``take`` may ask the next question: it runs after the coroutine of this one, which could
        not cancel itself.
        """
        taken = question.addCallback(take)
        taken.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return taken.addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("The jobs client has raised", failure)

    def _look_again(self) -> None:
        """Ask for everything, now and at every poll, because any message may have been lost."""
        self._poll.start(self._poll_interval * (0.5 + self._random()), self._look_again)
        self._check_followed()
        if self._list_retry.running:
            self._list_retry.start(0, self._ask_for_list)
        if not self._list_pending:
            self.events.changed()

    def _notified(self, message: Mapping[str, object]) -> None:
        if self._followed and self._followed.key not in listed_keys(message):
            # It need not have ended: lists are short, and a maintenance window hides jobs.
            self._check_followed()
        self.events.changed()

    # --- the execution that is followed ---

    def _check_followed(self) -> None:
        if self._followed is None or not self._check.called:
            return
        job_id = self._followed.job_id
        question = Deferred.fromCoroutine(self._describe(job_id, with_document=False))
        self._check = self._take(question, partial(self._checked, self._followed))

    def _checked(self, followed: JobExecution, response: Response) -> None:
        if response.accepted:
            self._compare(followed, response)
        elif response.code in _OVER:
            self.execution_over(followed.key)

    def _compare(self, followed: JobExecution, response: Response) -> None:
        try:
            found = execution(response.payload, followed.job_id)
        except Malformed as malformed:
            self.log.warn("{job_id}: {what}", job_id=followed.job_id, what=str(malformed))
            return
        if found.key != followed.key or found.status.ended:
            self.execution_over(followed.key)
        else:
            self._reports.learn_version(found)

    def _follows(self, key: ExecutionKey) -> bool:
        return self._followed is not None and self._followed.key == key

    # --- the list of pending executions ---

    @property
    def _list_pending(self) -> bool:
        return not self._listing.called or self._list_retry.running

    def _fetch_when_free(self) -> None:
        """Ask for the list, once every report is delivered and no list is asked for.

        A list that was asked for before a report was accepted could still name an execution that
        the report has ended.
        """
        if self._fetch_wanted and self._reports.empty and not self._list_pending:
            self._fetch_wanted = False
            self._ask_for_list()

    def _ask_for_list(self) -> None:
        self._listing = self._take(self._requests.send(self._topics.get, {}), self._listed)

    def _listed(self, response: Response) -> None:
        if not response.accepted:
            # A rejected list must not count as an empty one.
            self.log.error("The list of jobs was refused: {code}", code=response.code)
            self._list_retry.start(REJECTED_RETRY_INTERVAL, self._ask_for_list)
        elif self._fetch_wanted or not self._reports.empty:
            self._fetch_wanted = True
            self._fetch_when_free()
        else:
            self.events.pending(
                summaries(response.payload.get("inProgressJobs"), Status.IN_PROGRESS),
                summaries(response.payload.get("queuedJobs"), Status.QUEUED),
            )

    # --- one description ---

    def _described(self, job_id: str, response: Response) -> None:
        end = execution_state(response.payload) if response.code == _ENDED else None
        if end is not None and end.status.ended:
            key = ExecutionKey.of_job(job_id)
            self.events.described(JobExecution(key, end.status, end.version_number, end.details))
            return
        try:
            if not response.accepted:
                raise Malformed(response.code)
            found = execution(response.payload, job_id)
        except Malformed as malformed:
            self.log.warn("{job_id} cannot be described: {why}", job_id=job_id, why=str(malformed))
            self.events.describe_failed(job_id, response.code in _OVER)
        else:
            self._reports.note_named(found.key)
            if self._follows(found.key):
                self._reports.learn_version(found)
            self.events.described(found)

    # --- ReportListener ---

    def report_delivered(self, key: ExecutionKey, report: Report) -> None:
        self.log.info(
            "{job_id}: reported {state}",
            job_id=key.job_id,
            state=report.state.value,
            execution=key,
        )
        if self._followed is not None and self._follows(key):
            self._steps.reported(self._followed, report)
            self.events.delivered(report.state)

    def execution_over(self, key: ExecutionKey) -> None:
        if self._follows(key):
            self.unfollow()
            self._reports.drop(key)
            self.events.cancelled()

    def report_given_up(self, key: ExecutionKey, report: Report) -> None:
        if self._follows(key):
            self.events.undeliverable(report.state)

    def reports_done(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)
        self._fetch_when_free()


def _is_port(client: JobsClient) -> Jobs:
    return client


def _is_session_listener(client: JobsClient) -> MqttSessionEvents:
    return client


def _is_report_listener(client: JobsClient) -> ReportListener:
    return client

"""The jobs client: the ``Jobs`` port on AWS IoT Jobs over MQTT."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.job import ExecutionKey, JobExecution, Report, Status
from upparat.mqtt.session import MqttSession
from upparat.ports import Jobs, JobsEvents

from .outbox import AGAIN, AT_LENGTH, Ledger, Outbox
from .requests import Requests, Response
from .wire import Malformed, Topics, addressable, decode, execution, listed_keys, summaries

SUBACK = 30.0
"""Seconds that a broker may take to grant the subscriptions."""

_OVER = frozenset({"ResourceNotFound", "TerminalStateReached"})
"""Codes of a refused describe that say that the execution is not, or no more."""


class JobsClient:
    """Asks, watches and reports; tells :class:`upparat.ports.JobsEvents`.

    After every connection it subscribes, waits until that is granted, and only then asks: a
    notification that was sent while the device was away never comes.
    """

    log = Logger()
    events: JobsEvents

    def __init__(
        self,
        clock: IReactorTime,
        session: MqttSession,
        thing_name: str,
        *,
        poll_interval: float = 300.0,
        progress_interval: float = 5.0,
        ledger: Ledger | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._clock = clock
        self._session = session
        self._topics = Topics(thing_name)
        self._random = random
        self._poll_interval = poll_interval
        self._poll: IDelayedCall | None = None
        self._subscribing: Deferred[None] | None = None
        self._requests = Requests(clock, session, random)
        self._outbox = Outbox(clock, self._requests, self._topics, progress_interval, ledger)
        self._outbox.delivered = self._report_delivered
        self._outbox.over = self._execution_over
        self._outbox.emptied = self._outbox_emptied
        self._pending = _Question(clock)
        self._description = _Question(clock)
        self._check = _Question(clock)
        self._fetch_wanted = False
        self._followed: JobExecution | None = None
        self._drained: Deferred[None] | None = None

    # --- the port ---

    def fetch(self) -> None:
        self._fetch_wanted = True
        self._fetch_when_free()

    def describe(self, job_id: str) -> None:
        self._forget(self._description)
        if not addressable(job_id):
            self.events.describe_failed(job_id, False)
            return
        self._ask_description(job_id)

    def follow(self, execution: JobExecution) -> None:
        self._forget(self._check)
        self._followed = execution
        self._outbox.learn(execution)

    def unfollow(self) -> None:
        self._followed = None
        self._forget(self._check)

    def report(self, execution: JobExecution, report: Report) -> None:
        if report.status.ended and self._follows(execution.key):
            self.unfollow()
        self._outbox.add(execution, report)

    # --- the session ---

    def connected(self) -> None:
        self._subscribing = self._session.subscribe(self._topics.filters)
        self._subscribing.addTimeout(SUBACK, self._clock)
        self._subscribing.addCallbacks(self._subscribed, self._not_subscribed)
        self._subscribing.addErrback(self._broken)

    def disconnected(self, reason: str) -> None:
        self._stop_subscribing()
        self._requests.session_lost()
        self._cancel_poll()

    def received(self, topic: str, payload: bytes) -> None:
        """Take a message, whatever it is: nothing that a broker sends may do harm."""
        if not topic.startswith(self._topics.base):
            self.log.debug("A message for somebody else on {topic}", topic=topic)
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

    def drain(self) -> Deferred[None]:
        """Fires when every report given so far is delivered; cancel it to stop waiting."""
        self._drained = Deferred()
        if self._outbox.empty:
            self._drained.callback(None)
        return self._drained

    def close(self) -> None:
        """Stop for good; nothing is left on the clock."""
        self.unfollow()
        self._fetch_wanted = False
        self._forget(self._pending)
        self._forget(self._description)
        self._outbox.close()
        self._stop_subscribing()
        self._requests.close()
        self._cancel_poll()

    def _subscribed(self, _: None) -> None:
        self.log.info("Subscribed to the jobs of {thing}", thing=self._topics.thing_name)
        self._requests.session_ready()
        self._look_again()

    def _not_subscribed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._session.disconnect_and_retry(f"subscribing failed: {failure.getErrorMessage()}")

    def _stop_subscribing(self) -> None:
        """What a connection grants while it ends must not count for the next one."""
        if self._subscribing is not None:
            self._subscribing.cancel()
        self._subscribing = None

    def _broken(self, failure: Failure) -> None:
        self.log.failure("The jobs cannot be asked for", failure)

    # --- what may have changed ---

    def _look_again(self) -> None:
        """Ask everything again, now and at every poll: any message may have been lost."""
        self._cancel_poll()
        delay = self._poll_interval * (0.5 + self._random())
        self._poll = self._clock.callLater(delay, self._look_again)
        self._check_followed()
        self._pending.now()
        if not self._pending.busy:
            self.events.changed()

    def _cancel_poll(self) -> None:
        if self._poll is not None and self._poll.active():
            self._poll.cancel()
        self._poll = None

    def _notified(self, message: Mapping[str, object]) -> None:
        if self._followed and self._followed.key not in listed_keys(message):
            # Not listed is not ended: lists are short, and a maintenance window hides jobs.
            self._check_followed()
        self.events.changed()

    def _check_followed(self) -> None:
        if self._followed is None or self._check.busy:
            return
        self._ask_check(self._followed.job_id)

    def _ask_check(self, job_id: str) -> None:
        topic = self._topics.describe(job_id)
        self._check.token = self._requests.send(topic, {"includeJobDocument": False}, self._checked)

    def _checked(self, answer: Response) -> None:
        again = self._check.answered()
        followed = self._followed
        if followed is None:
            return
        if not answer.accepted:
            if answer.code == "ResourceNotFound" and not again:
                self._check.later(AGAIN, self._ask_check, followed.job_id)
            elif answer.code in _OVER:
                self._execution_over(followed.key)
            return
        self._compare(followed, answer)

    def _compare(self, followed: JobExecution, answer: Response) -> None:
        try:
            found = execution(answer.payload, followed.job_id)
        except Malformed as malformed:
            self.log.warn("{job_id}: {what}", job_id=followed.job_id, what=str(malformed))
            return
        if found.key != followed.key or found.status.ended:
            self._execution_over(followed.key)
        else:
            self._outbox.learn(found)

    # --- pending executions ---

    def _fetch_when_free(self) -> None:
        """One question at a time, and none before every report is delivered.

        A list that was asked for earlier could still show what a report has ended.
        """
        if self._fetch_wanted and self._outbox.empty and not self._pending.busy:
            self._fetch_wanted = False
            self._ask_pending()

    def _ask_pending(self) -> None:
        self._pending.token = self._requests.send(self._topics.get, {}, self._listed)

    def _listed(self, answer: Response) -> None:
        self._pending.answered()
        if not answer.accepted:
            # No list is not an empty list.
            self.log.error("The list of jobs was refused: {code}", code=answer.code)
            self._pending.later(AT_LENGTH, self._ask_pending)
        elif self._fetch_wanted or not self._outbox.empty:
            self._fetch_wanted = True
            self._fetch_when_free()
        else:
            self.events.pending(
                summaries(answer.payload.get("inProgressJobs"), Status.IN_PROGRESS),
                summaries(answer.payload.get("queuedJobs"), Status.QUEUED),
            )

    # --- one execution ---

    def _ask_description(self, job_id: str) -> None:
        topic = self._topics.describe(job_id)

        def described(answer: Response) -> None:
            self._described(job_id, answer)

        self._description.token = self._requests.send(
            topic, {"includeJobDocument": True}, described
        )

    def _described(self, job_id: str, answer: Response) -> None:
        again = self._description.answered()
        if answer.code == "ResourceNotFound" and not again:
            self._description.later(AGAIN, self._ask_description, job_id)
            return
        try:
            if not answer.accepted:
                raise Malformed(answer.code)
            found = execution(answer.payload, job_id)
        except Malformed as malformed:
            self.log.warn("{job_id} is not to be had: {why}", job_id=job_id, why=str(malformed))
            self.events.describe_failed(job_id, answer.code in _OVER)
        else:
            if self._follows(found.key):
                self._outbox.learn(found)
            self.events.described(found)

    # --- reports ---

    def _report_delivered(self, key: ExecutionKey, report: Report) -> None:
        self.log.info("{job_id}: reported {state}", job_id=key.job_id, state=report.state.value)
        if self._follows(key):
            self.events.delivered(report.state)

    def _execution_over(self, key: ExecutionKey) -> None:
        if self._follows(key):
            self.unfollow()
            self.events.cancelled()

    def _outbox_emptied(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)
        self._fetch_when_free()

    def _follows(self, key: ExecutionKey) -> bool:
        return self._followed is not None and self._followed.key == key

    def _forget(self, question: _Question) -> None:
        if question.token:
            self._requests.forget(question.token)
        question.cancel()


class _Question:
    """A question of which only one is open, and whether it was put a second time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._again = False
        self.token = ""

    @property
    def busy(self) -> bool:
        return bool(self.token) or self._timer is not None

    def answered(self) -> bool:
        """The answer is here; returns whether it was to a repeated question."""
        self.token = ""
        again, self._again = self._again, False
        return again

    def later(self, seconds: float, ask: Callable[..., None], *args: object) -> None:
        """Put it again in a while."""
        self._again = True
        self._timer = self._clock.callLater(seconds, self._put, ask, args)

    def now(self) -> None:
        """Put it at once, if it was to be put later."""
        if self._timer is not None:
            self._timer.reset(0)

    def _put(self, ask: Callable[..., None], args: tuple[object, ...]) -> None:
        self._timer = None
        ask(*args)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._again = False
        self.token = ""


def _is_port(client: JobsClient) -> Jobs:
    return client

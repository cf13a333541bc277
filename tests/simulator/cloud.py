"""AWS IoT Jobs for one thing on a plain broker, strict by default and misbehaving on demand.

    with Cloud(broker.port, "device") as cloud:
        cloud.create_job("job-1", {"action": "upparat-update", ...})
        cloud.on("get", faults.dropped())
        cloud.when("job-1", "installation_start", lambda: cloud.cancel("job-1", force=True))
        assert cloud.wait_for_end("job-1").status is Status.CANCELED

Whatever AWS would refuse is a breach. Two things it does differently, for want of a broker that
could: answers are not for the publisher alone, and a breach closes no connection.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, RLock
from typing import Any, Self

from paho.mqtt.client import MQTTMessage

from tests.support.waiting import PATIENCE

from .connection import CloudConnection
from .faults import Action, Reply, Request, Rule, calling, throttled
from .responder import Responder
from .rules import Target, parse_topic, read_object, request_breaches, transport_breaches
from .shadow import PackageShadow
from .store import Execution, Rejected, Store, Update


class Cloud:
    """The responder, while it is a context. All methods can be called from any thread.

    ``breaches``: what a device did that AWS refuses. ``errors``: what went wrong in here.
    ``requests``: all that could be read, in the order of their arrival. ``shadow``: what the thing
    has reported of its packages. ``quiet``: while it is
    true, notifications are lost.

    :param now: seconds since the epoch.
    :param heard: called with each request as it arrives, in the client's thread.
    """

    def __init__(
        self,
        port: int,
        thing: str,
        *,
        host: str = "127.0.0.1",
        now: Callable[[], float] = time.time,
        heard: Callable[[Request], object] = lambda request: None,
    ) -> None:
        self.thing = thing
        self._ahead = 0.0
        self.store = Store(thing, lambda: now() + self._ahead)
        self.shadow = PackageShadow(thing, now)
        self.breaches: list[str] = []
        self.errors: list[str] = []
        self.requests: list[Request] = []
        self.quiet = False
        self.connections = 0
        self._responder = Responder(self.store)
        self._changed = Condition(RLock())
        self._rules: list[Rule] = []
        self._held: list[tuple[str, Reply]] = []
        self._heard = heard
        self._told = self._heads()
        self._connection = CloudConnection(host, port, self._received, self._connected)

    def __enter__(self) -> Self:
        self._connection.open()
        self.wait_for(lambda: self.connections)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    # --- the back office ---

    def create_job(self, job_id: str, document: object, *, timeout: int | None = None) -> Execution:
        """Queue a job. A callable in the document is called at every delivery, as AWS replaces
        a placeholder by a fresh URL."""
        with self._changing():
            return self.store.create_job(job_id, document, timeout=timeout)

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        with self._changing():
            self.store.cancel(job_id, force=force)

    def delete(self, job_id: str, *, force: bool = False) -> None:
        with self._changing():
            self.store.delete(job_id, force=force)

    def time_out(self, job_id: str) -> None:
        with self._changing():
            self.store.time_out(job_id)

    def advance(self, minutes: float) -> None:
        """Let so much time pass in AWS alone: timers may run out."""
        with self._changing():
            self._ahead += 60 * minutes
            self.store.expire()

    def retry(self, job_id: str) -> Execution:
        with self._changing():
            return self.store.retry(job_id)

    def remove(self, job_id: str) -> None:
        with self._changing():
            self.store.remove(job_id)

    def hide(self, job_id: str, *, hidden: bool = True) -> None:
        with self._changing():
            self.store.hide(job_id, hidden=hidden)

    def report(self, job_id: str, status: str, **details: str) -> None:
        """An update by another hand, or by the agent in an earlier life."""
        with self._changing():
            self.store.update(job_id, status, details or None)

    # --- what has happened ---

    def execution(self, job_id: str) -> Execution:
        """The newest execution of a job."""
        with self._changed:
            return self.store.execution(job_id)

    def updates(self, job_id: str) -> list[Update]:
        """The updates that were accepted, over all executions of a job."""
        with self._changed:
            return [update for update in self.store.updates if update.job_id == job_id]

    def history(self, job_id: str) -> list[tuple[str, str, str]]:
        """Status, state and message of each update that was accepted."""
        return [
            (each.status.value, each.details.get("state", ""), each.details.get("message", ""))
            for each in self.updates(job_id)
        ]

    def asked(self, operation: str, job_id: str | None = None) -> list[Request]:
        """The requests of one kind so far."""
        with self._changed:
            return [
                each
                for each in self.requests
                if each.operation == operation and job_id in (None, each.job_id)
            ]

    @property
    def unused(self) -> list[Rule]:
        """Rules that were to be used more often than they were."""
        with self._changed:
            return [rule for rule in self._rules if rule.left and rule.times > 0]

    # --- waiting ---

    def wait_for(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Block until the condition holds; it is looked at after every request and change."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"it does not happen; so far:\n{self._story()}")

    def wait_for_state(self, job_id: str, state: str, timeout: float = PATIENCE) -> None:
        """Block until an update with this state was accepted."""
        self.wait_for(
            lambda: any(each.details.get("state") == state for each in self.updates(job_id)),
            timeout,
        )

    def wait_for_end(self, job_id: str, timeout: float = PATIENCE) -> Execution:
        """Block until the newest execution has ended, in whatever way."""
        self.wait_for(lambda: self.store.execution(job_id).status.ended, timeout)
        return self.execution(job_id)

    def _story(self) -> str:
        updates = [f"  {each}" for each in self.store.updates]
        last = [f"  {each.operation} {each.job_id} {each.state}" for each in self.requests[-20:]]
        return "\n".join(["updates:", *updates, "last requests:", *last, *self.breaches])

    # --- switches ---

    def on(
        self,
        operation: str,
        action: Action,
        times: int = 1,
        *,
        job_id: str | None = None,
        state: str | None = None,
        where: Callable[[Request], bool] = lambda request: True,
    ) -> Rule:
        """Do something to the next requests that match; see :class:`faults.Rule`."""
        with self._changed:
            rule = Rule(operation, action, times, job_id, state, where)
            self._rules.append(rule)
            return rule

    def when(
        self, job_id: str, state: str, callback: Callable[[], object], *, before: bool = False
    ) -> Rule:
        """Run ``callback`` when the update with this state was accepted but not answered yet, or
        before it is worked on."""
        return self.on("update", calling(callback, before=before), job_id=job_id, state=state)

    def throttle(self, times: int) -> Rule:
        """Refuse the next requests of any kind for the moment."""
        return self.on("*", throttled(), times)

    def release(self) -> None:
        """Send the answers that were delayed."""
        with self._changed:
            held, self._held = self._held, []
            self._send(held)

    def publish(self, suffix: str, payload: object, thing: str = "") -> None:
        """Send anything on a topic below ``jobs/``, of this or another thing."""
        self._connection.publish(f"$aws/things/{thing or self.thing}/jobs/{suffix}", payload)

    def notify(self) -> None:
        """Tell what is pending, whether or not it has changed."""
        with self._changed:
            self.publish("notify", self._responder.notification())

    def notify_next(self) -> None:
        """Tell what is first, whether or not it has changed."""
        with self._changed:
            self.publish("notify-next", self._responder.next_notification())

    # --- changes ---

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._changed:
            listing = self._responder.listing()
            yield
            self._responder.changed_from(listing)
            self._notify_changes()
            self._changed.notify_all()

    def _heads(self) -> tuple[set[Execution], Execution | None]:
        pending = self.store.pending()
        return set(pending), next(iter(pending), None)

    def _notify_changes(self) -> None:
        """The list changes when something comes or goes, not when something is started."""
        (told, told_first), self._told = self._told, self._heads()
        pending, first = self._told
        if pending != told and not self.quiet:
            self.notify()
        if first is not told_first and not self.quiet:
            self.notify_next()

    # --- requests ---

    def _connected(self) -> None:
        with self._changed:
            self.connections += 1
            self._changed.notify_all()

    def _received(self, message: MQTTMessage) -> None:
        try:
            with self._changed:
                self._take(message)
                self._changed.notify_all()
        except Exception:
            self.errors.append(traceback.format_exc())

    def _take(self, message: MQTTMessage) -> None:
        topic, payload = message.topic, bytes(message.payload)
        wrong = transport_breaches(topic, payload, message.qos, retained=message.retain)
        target = parse_topic(topic)
        if target is None or target.thing != self.thing:
            wrong.append("no policy allows this topic")
        self.breaches += [f"{topic}: {what}" for what in wrong]
        if target is not None and not wrong:
            self._serve(target, topic, payload)

    def _serve(self, target: Target, topic: str, payload: bytes) -> None:
        try:
            body = read_object(payload)
        except ValueError as problem:
            self.breaches.append(f"{topic}: {problem}")
            refused = self._responder.rejection(None, Rejected("InvalidJson", str(problem)))
            self._send([(topic, refused)])
            return
        self.breaches += [f"{topic}: {what}" for what in self._judge(target, payload, body)]
        request = Request(target.operation, target.job_id, body, topic, time.monotonic())
        self.requests.append(request)
        self._heard(request)
        actions = [rule.action for rule in self._rules if rule.takes(request)]
        with self._changing():
            self._work(target, request, actions)

    def _judge(self, target: Target, payload: bytes, body: dict[str, Any]) -> list[str]:
        if target.operation == "shadow":
            return self.shadow.breaches(payload, body)
        return request_breaches(target, body)

    def _answer(self, target: Target, request: Request, actions: Sequence[Action]) -> Reply:
        if target.operation == "shadow":
            return self.shadow.answer(request, actions)
        return self._responder.answer(target, request, actions)

    def _work(self, target: Target, request: Request, actions: Sequence[Action]) -> None:
        for action in actions:
            action.early()
        if any(action.lost for action in actions):
            return
        replies = [self._answer(target, request, actions)]
        for action in actions:
            action.late()
            replies = action.change(replies)
        answers = [(request.topic, reply) for reply in replies]
        if any(action.held for action in actions):
            self._held += answers
        else:
            self._send(answers)

    def _send(self, answers: Sequence[tuple[str, Reply]]) -> None:
        for topic, reply in answers:
            self._connection.publish(f"{topic}/{reply.verdict}", reply.payload)

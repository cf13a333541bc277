"""The step that tries the IoT policy, topic by topic.

AWS closes a connection of MQTT 3.1.1 on a forbidden topic and does not say which. In MQTT 5 it
answers with a reason. So MQTT 5 comes first; after each closed connection, the next topic is tried
on a fresh one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from upparat.iotjobs.wire import Topics, encode

from .examination import Examination
from .finding import Finding, failed, ok, skipped, warning
from .mqtt import open_probe
from .probe import MqttProbe, Refusal, Version

JOB = "JOB"
"""Stands for the id of a job."""

Attempt = Callable[[MqttProbe, float], None]


@dataclass(frozen=True)
class Trial:
    """One topic of the agent, as a policy may allow or forbid it.

    :ivar attempt: uses the topic on a connection, or raises :class:`Refusal`.
    """

    action: str
    topic: str
    attempt: Attempt

    @property
    def resource(self) -> str:
        """What a policy calls the topic."""
        if self.action == "iot:Subscribe":
            return f"topicfilter/{self.topic}"
        return f"topic/{self.topic.replace(JOB, '*')}"


def trials(thing_name: str) -> list[Trial]:
    """Every filter and every kind of topic that the agent uses.

    No job can have the id that is asked for, and the update has no status, so AWS changes nothing.
    """
    topics, job_id = Topics(thing_name), f"upparat-doctor-{secrets.token_hex(8)}"
    token = encode({"clientToken": job_id})
    return [
        *(Trial("iot:Subscribe", name, _subscribing(name)) for name in topics.filters),
        Trial("iot:Publish", topics.get, _publishing(topics.get, token)),
        _publish_trial(topics.describe(job_id), job_id, token),
        _publish_trial(topics.update(job_id), job_id, token),
    ]


def _publish_trial(topic: str, job_id: str, payload: bytes) -> Trial:
    return Trial("iot:Publish", topic.replace(job_id, JOB), _publishing(topic, payload))


def _subscribing(name: str) -> Attempt:
    return lambda probe, seconds: probe.subscribe(name, seconds)


def _publishing(topic: str, payload: bytes) -> Attempt:
    return lambda probe, seconds: probe.publish(topic, payload, seconds)


def examine(examination: Examination) -> Iterator[Finding]:
    """One finding for each topic that is refused, or one for all of them."""
    if examination.topics_refused:
        yield skipped("policy", examination.topics_refused)
        return
    refused = 0
    wanted = trials(examination.settings.broker.thing_name)
    try:
        for trial, reason in _tried(examination, wanted):
            if reason:
                refused += 1
                yield _refused(examination, trial, reason)
    except Refusal as refusal:
        yield failed("policy", f"cannot be tried: {refusal}", "Try again")
        return
    if not refused:
        thing = examination.settings.broker.thing_name
        yield ok("policy", f"none of the {len(wanted)} topics of {thing} is refused")


def _tried(examination: Examination, wanted: list[Trial]) -> Iterator[tuple[Trial, str]]:
    """Each trial with the reason for which its topic is refused.

    :raises Refusal: if there is no connection any more.
    """
    versions = [Version.MQTTv5, Version.MQTTv311]
    with ExitStack() as stack:
        probe: MqttProbe | None = None
        for trial in wanted:
            if examination.left <= 0:
                raise Refusal("there is no time left", closed=False)
            if probe is None or probe.lost:
                probe = stack.enter_context(closing(_connected(examination, versions)))
            reason = ""
            try:
                trial.attempt(probe, examination.seconds(examination.limits.answer))
            except Refusal as refusal:
                reason = str(refusal)
            yield trial, reason


def _connected(examination: Examination, versions: list[Version]) -> MqttProbe:
    """Connect in the first version that the broker accepts, and forget those before it."""
    try:
        return open_probe(examination, versions[0])
    except Refusal:
        if len(versions) == 1:
            raise
    versions.pop(0)  # the broker may be older than MQTT 5
    return open_probe(examination, versions[0])


def _refused(examination: Examination, trial: Trial, reason: str) -> Finding:
    meaning = f"{trial.action} {trial.topic} is refused: {reason}"
    remedy = f"Allow {trial.action} on {trial.resource} in the policy of the certificate"
    if not examination.agent:
        return failed("policy", meaning, remedy)
    # A policy may spell topics by the client id, and ours is not the agent's.
    examination.topics_refused = f"the policy refuses topics to {examination.client_id}"
    return warning("policy", meaning, "Stop the agent and try again with its own client id")

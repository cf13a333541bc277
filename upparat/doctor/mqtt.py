"""The steps on MQTT: the connection, another client with our id, and an answer of AWS IoT Jobs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from upparat.iotjobs.wire import Malformed, Topics, decode, encode, summaries
from upparat.job import Status
from upparat.net.http_connect import ProxyError

from .examination import Examination
from .finding import Finding, failed, ok, skipped, warning
from .probe import MqttProbe, Refusal, Version
from .tls import open_secure

_ADVICE = {
    "Bad user name or password": "Check [broker] username and password",
    "Not authorized": "Check [broker] username and password; allow the client id on the broker",
    "Client identifier not valid": "Choose another [broker] client_id",
    "Unsupported protocol version": "The agent speaks MQTT 3.1.1: allow it on the broker",
    "Server unavailable": "Try again later; see the log of the broker",
    "Server busy": "Try again later; see the log of the broker",
}
"""What to do about the reasons of CONNACK."""

_CLOSED = "On AWS: activate the certificate, attach a policy, and allow iot:Connect for this id"


def open_probe(examination: Examination, version: Version = Version.MQTTv311) -> MqttProbe:
    """Open a connection, and connect as the client id that may be used now.

    :raises Refusal: if that fails in any way.
    """
    examination.pace()
    broker, limits = examination.settings.broker, examination.limits
    try:
        opened = open_secure(broker, examination.seconds(limits.connect))
    except (OSError, ProxyError) as error:
        raise Refusal(str(error), closed=True) from None
    probe = MqttProbe(opened, broker, examination.client_id, version)
    try:
        probe.connect(examination.seconds(limits.answer))
    except BaseException:
        probe.close()
        raise
    return probe


# --- the connection, and who else has our client id ---


def connect(examination: Examination) -> Iterator[Finding]:
    """CONNECT as the agent does; then look whether another client takes the connection over."""
    try:
        probe = open_probe(examination)
    except Refusal as refusal:
        yield _not_accepted(examination, refusal)
        return
    with probe:
        yield ok("mqtt", f"the broker accepts the client id {examination.client_id}")
        yield _watched(examination, probe)


def _not_accepted(examination: Examination, refusal: Refusal) -> Finding:
    reason, client_id = str(refusal), examination.client_id
    if examination.agent:
        examination.topics_refused = f"the broker does not accept the client id {client_id}"
        meaning = f"the client id {client_id} is not accepted ({reason}); the agent's may be"
        return warning("mqtt", meaning, "Stop the agent and try again to examine its policy")
    remedy = _ADVICE.get(reason, _CLOSED)
    return failed("mqtt", f"the client id {client_id} is not accepted: {reason}", remedy)


def _watched(examination: Examination, probe: MqttProbe) -> Finding:
    client_id = examination.settings.broker.client_id
    if examination.agent:
        return skipped("client id", f"the agent is at work ({examination.agent}), and may use it")
    probe.wait(lambda: probe.lost, examination.seconds(examination.limits.watch))
    if not probe.lost:
        return ok("client id", f"no other client uses {client_id}")
    meaning = f"the connection was closed at once: another client uses {client_id}"
    return failed("client id", meaning, "Give each device a [broker] client_id of its own")


# --- AWS IoT Jobs ---


def ask(examination: Examination) -> Iterator[Finding]:
    """Ask for the pending jobs, as the agent does first. Nothing is started by that."""
    if examination.topics_refused:
        yield skipped("jobs", examination.topics_refused)
        return
    try:
        with open_probe(examination) as probe:
            yield _asked(examination, probe)
    except Refusal as refusal:
        yield failed("jobs", f"AWS IoT Jobs cannot be asked: {refusal}", "See the reason")


def _asked(examination: Examination, probe: MqttProbe) -> Finding:
    topics, token = Topics(examination.settings.broker.thing_name), secrets.token_hex(8)
    seconds = examination.seconds(examination.limits.answer)
    # The agent's own filter: a policy of AWS compares the letters of a filter.
    probe.subscribe(f"{topics.get}/+", seconds)
    probe.publish(topics.get, encode({"clientToken": token}), seconds)
    seconds = examination.seconds(examination.limits.jobs)
    probe.wait(lambda: _response(probe, token), seconds)
    topic, payload = _response(probe, token) or ("", {})
    if topic.endswith("/accepted"):
        count = _pending(payload)
        return ok("jobs", f"AWS answers: {count} pending job{'' if count == 1 else 's'}")
    if topic:
        meaning = f"AWS refuses to list jobs: {str(payload.get('code'))[:80]!r}"
        return failed("jobs", meaning, "Check [broker] thing_name, and that the thing exists")
    meaning = f"no answer on {topics.get}/accepted in {seconds:.0f} s"
    return failed(
        "jobs", meaning, "Allow the client to receive it; see whether AWS is behind the broker"
    )


def _response(probe: MqttProbe, token: str) -> tuple[str, dict[str, object]] | None:
    for topic, payload in probe.messages:
        try:
            content = decode(payload)
        except Malformed:
            continue
        if content.get("clientToken") == token:
            return topic, content
    return None


def _pending(payload: dict[str, object]) -> int:
    lists = ((Status.IN_PROGRESS, "inProgressJobs"), (Status.QUEUED, "queuedJobs"))
    return sum(len(summaries(payload.get(key), status)) for status, key in lists)

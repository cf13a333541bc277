"""What AWS refuses in a device's request to IoT Jobs: the service model, and MQTT's own rules.

The shapes are those of botocore's ``iot-jobs-data`` model. botocore checks types and the members
that are required; patterns, lengths, enumerations and unknown members are checked here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import MapShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

OPERATIONS = {
    "get": "GetPendingJobExecutions",
    "start-next": "StartNextPendingJobExecution",
    "describe": "DescribeJobExecution",
    "update": "UpdateJobExecution",
}
"""The model's names of what can be asked over MQTT."""

MAX_PAYLOAD = 131_072
MAX_TOPIC = 256
MAX_SLASHES = 7
MAX_TOKEN = 64

# Rules that the developer guide and the control plane state, but not this model.
_MAX_PAIRS = 10
_MAX_VALUE = 1024

_SHADOW = re.compile(r"\$aws/things/([^/]*)/shadow/name/\$package/update")
_TOPIC = re.compile(r"\$aws/things/([^/]*)/jobs/(?:(get|start-next)|([^/]+)/(get|update))")
_NUMBERS = ("expectedVersion", "executionNumber", "stepTimeoutInMinutes")


@dataclass(frozen=True)
class Target:
    """What the topic of a request says; ``job_id`` is empty where the operation has none."""

    operation: str
    thing: str
    job_id: str = ""


def parse_topic(topic: str) -> Target | None:
    """The target of a request, or ``None`` if devices may not publish to this topic."""
    if shadow := _SHADOW.fullmatch(topic):
        return Target("shadow", shadow[1])
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    thing, verb, job_id, job_verb = match.groups()
    if verb:
        return Target(verb, thing)
    return Target("describe" if job_verb == "get" else job_verb, thing, job_id)


def read_object(payload: bytes) -> dict[str, Any]:
    """The JSON object of a request; an empty payload stands for an empty one.

    :raises ValueError: if it is anything else.
    """
    value = json.loads(payload.decode()) if payload else {}
    if not isinstance(value, dict):
        raise ValueError("a JSON value, but no object")
    return value


def transport_breaches(topic: str, payload: bytes, qos: int, *, retained: bool) -> list[str]:
    """What AWS's broker would drop or disconnect a device for."""
    rules = {
        f"QoS {qos} instead of 1": qos != 1,
        "retained": retained,
        f"payload of {len(payload)} bytes": len(payload) > MAX_PAYLOAD,
        f"topic of {len(topic.encode())} bytes": len(topic.encode()) > MAX_TOPIC,
        f"topic with {topic.count('/')} slashes": topic.count("/") > MAX_SLASHES,
    }
    return [what for what, broken in rules.items() if broken]


def request_breaches(target: Target, request: Mapping[str, Any]) -> list[str]:
    """Everything that a strict reader finds wrong in a request."""
    token = request.get("clientToken", "token")
    body = {name: value for name, value in request.items() if name != "clientToken"}
    breaches = problems(target, body)
    if not isinstance(token, str) or not 1 <= len(token) <= MAX_TOKEN:
        breaches.append(f"clientToken: {token!r} is not a string of 1 to {MAX_TOKEN} characters")
    return breaches


def refusals(target: Target, request: Mapping[str, Any]) -> list[str]:
    """What AWS answers ``InvalidRequest`` to.

    Its guide writes numbers as strings, so those are taken; of unknown members nothing is said.
    """
    shape = _request_shape(target.operation)
    known = {name: value for name, value in request.items() if name in shape.members}
    for name in _NUMBERS:
        if isinstance(value := known.get(name), str) and re.fullmatch(r"-?\d+", value):
            known[name] = int(value)
    return problems(target, known)


def problems(target: Target, body: Mapping[str, Any]) -> list[str]:
    """How the request's members and its topic break the service model."""
    parameters = {**body, "thingName": target.thing}
    if target.job_id:
        parameters["jobId"] = target.job_id
    shape = _request_shape(target.operation)
    report = ParamValidator().validate(parameters, shape)
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found + list(walk(shape, parameters, target.operation)) + list(_guide(body))


def response_problems(operation: str, body: Mapping[str, Any]) -> list[str]:
    """How the members of an answer break the service model.

    Over MQTT a job document is a JSON value and not a string; it is left out.
    """
    shape = _model().operation_model(OPERATIONS[operation]).output_shape
    plain = json.loads(json.dumps(body), object_hook=_without_document)
    report = ParamValidator().validate(plain, shape)
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found + list(walk(shape, plain, operation))


def _without_document(value: dict[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name != "jobDocument"}


# --- the service model ---


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("iot-jobs-data", "service-2"))


def _request_shape(operation: str) -> StructureShape:
    return _model().operation_model(OPERATIONS[operation]).input_shape


def walk(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Yield what botocore does not look at. Values of a wrong type are its own concern."""
    if shape.type_name == "structure" and isinstance(value, dict):
        yield from _walk_structure(shape, value, path)
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from _walk_map(shape, value, path)
    elif shape.type_name == "list" and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from walk(shape.member, entry, f"{path}[{index}]")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _text_problems(shape.metadata, value, path)
    elif shape.type_name == "long" and isinstance(value, bool):
        yield f"{path}: a boolean is no number"
    elif shape.type_name == "long" and isinstance(value, int) and abs(value) >= 2**63:
        yield f"{path}: more than 64 bits"


def _walk_structure(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in value.items():
        if name in shape.members:
            yield from walk(shape.members[name], member, f"{path}.{name}")
        else:
            yield f"{path}.{name}: unknown member"


def _walk_map(shape: MapShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for key, member in value.items():
        yield from walk(shape.key, key, f"{path} key")
        yield from walk(shape.value, member, f"{path}.{key}")


def _text_problems(rules: Mapping[str, Any], text: str, path: str) -> Iterator[str]:
    if not rules.get("min", 0) <= len(text) <= rules.get("max", len(text)):
        yield f"{path}: a length of {len(text)} characters"
    if text not in rules.get("enum", (text,)):
        yield f"{path}: {text!r} is not one of {', '.join(rules['enum'])}"
    if not _matches(rules.get("pattern"), text):
        yield f"{path}: {text!r} does not match {rules['pattern']}"


def _matches(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return True
    if pattern == r"[^\p{C}]+":  # Python's expressions know no categories
        return bool(text) and not any(unicodedata.category(char)[0] == "C" for char in text)
    assert r"\p" not in pattern, pattern
    return re.fullmatch(pattern, text) is not None


def _guide(body: Mapping[str, Any]) -> Iterator[str]:
    details = body.get("statusDetails")
    if isinstance(details, dict):
        if len(details) > _MAX_PAIRS:
            yield f"statusDetails: {len(details)} pairs"
        for name, value in details.items():
            if isinstance(value, str) and len(value) > _MAX_VALUE:
                yield f"statusDetails.{name}: a length of {len(value)} characters"
    minutes = body.get("stepTimeoutInMinutes")
    if isinstance(minutes, int) and minutes != -1 and not 1 <= minutes <= 10080:
        yield f"stepTimeoutInMinutes: {minutes} is not in 1 to 10080"

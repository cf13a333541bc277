"""The reserved named shadow ``$package`` of one thing, which the Software Package Catalog reads.

Sources: the AWS IoT developer guide (Device Shadow error messages, Software Package Catalog), and
botocore's models ``iot-data`` and ``iot``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from .faults import Action, Reply, Request
from .rules import MAX_TOKEN, walk

NAME = "$package"
MAX_DOCUMENT = 8192
MAX_LEVELS = 6

_CODES = {"RequestThrottled": 429, "InternalError": 500}
"""The shadow's numbers for refusals of AWS IoT Jobs; other refusals are written as a number."""


class PackageShadow:
    """What the thing has reported. ``history`` is the package of each update that was accepted.

    :param now: seconds since the epoch.
    """

    def __init__(self, thing: str, now: Callable[[], float] = time.time) -> None:
        self.reported: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.version = 0
        self._thing = thing
        self._now = now

    def breaches(self, payload: bytes, body: Mapping[str, Any]) -> list[str]:
        """What AWS would refuse of an update, or would not understand."""
        shape = _model("iot-data").operation_model("UpdateThingShadow").input_shape
        parameters = {"thingName": self._thing, "shadowName": NAME, "payload": payload}
        report = ParamValidator().validate(parameters, shape)
        found = report.generate_report().splitlines() if report.has_errors() else []
        found.extend(walk(shape, parameters, "shadow"))
        return [*found, *_envelope(payload, body), *_packages(body)]

    def answer(self, request: Request, actions: Sequence[Action]) -> Reply:
        """Take an update, unless an action refuses it."""
        head = {"timestamp": int(self._now()), **_token(request)}
        for refusal in filter(None, (action.refusal for action in actions)):
            code = _CODES.get(refusal.code) or int(refusal.code)
            return Reply("rejected", {"code": code, "message": refusal.message, **head})
        state = request.body["state"]
        merge(self.reported, state["reported"])
        self.history.append(json.loads(json.dumps(self.reported)))
        self.version += 1
        return Reply("accepted", {"state": state, "version": self.version, **head})


def merge(document: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Merge an update as AWS does: ``null`` removes a member, others stay."""
    for name, value in update.items():
        if value is None:
            document.pop(name, None)
        elif isinstance(value, dict):
            merge(document.setdefault(name, {}), value)
        else:
            document[name] = value


def _token(request: Request) -> dict[str, object]:
    return {"clientToken": request.token} if request.token is not None else {}


def _envelope(payload: bytes, body: Mapping[str, Any]) -> Iterator[str]:
    if len(payload) > MAX_DOCUMENT:
        yield f"shadow: a document of {len(payload)} bytes"
    if _levels(body) > MAX_LEVELS:
        yield f"shadow: more than {MAX_LEVELS} levels of nesting"
    if strange := body.keys() - {"state", "version", "clientToken"}:
        yield f"shadow: unknown members {', '.join(sorted(strange))}"
    if len(str(body.get("clientToken", "")).encode()) > MAX_TOKEN:
        yield f"shadow: a clientToken of more than {MAX_TOKEN} bytes"


def _packages(body: Mapping[str, Any]) -> Iterator[str]:
    """How the packages break the rules of the catalog."""
    state = body.get("state")
    reported = state.get("reported") if isinstance(state, dict) else None
    if not isinstance(reported, dict) or state.keys() != {"reported"}:  # type: ignore[union-attr]
        yield "shadow: state must be an object with reported alone"
        return
    for name, package in reported.items():
        if package.keys() != {"version", "attributes"}:
            yield f"shadow.{name}: must have a version and attributes"
            continue
        values = {key: value for key, value in package["attributes"].items() if value is not None}
        for shape, value in (
            ("PackageName", name),
            ("VersionName", package["version"]),
            ("ResourceAttributes", values),
        ):
            yield from walk(_model("iot").shape_for(shape), value, f"shadow.{name}")
        if sum(len(key) + len(str(value)) for key, value in values.items()) > 3072:
            yield f"shadow.{name}: attributes of more than 3 KB"


def _levels(value: object) -> int:
    return 1 + max(map(_levels, value.values()), default=0) if isinstance(value, dict) else 0


@cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"))

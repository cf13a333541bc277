"""Shows the requests of an order, and sends none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from upparat.text import without_query

from .checks import head_bucket
from .publisher import Release
from .request import AwsRequest, FilePiece
from .upload import upload_requests


def requests_of(release: Release) -> Iterator[AwsRequest]:
    """Yield all requests in their order, as if S3 had nothing of the files."""
    order = release.order
    yield head_bucket(order.bucket)
    for target in order.targets:
        yield target.look_up
    if order.package_look_up:
        yield order.package_look_up
    for place, file in release.uploads:
        yield from upload_requests(place, file)
    yield release.create_job


def shown(request: AwsRequest) -> dict[str, Any]:
    """Return a request as JSON has it, without ``meta`` and the queries of URLs."""
    parameters = {
        name: str(value) if isinstance(value, FilePiece) else value
        for name, value in request.parameters.items()
    }
    if "document" in parameters:
        parameters["document"] = json.dumps(_public(json.loads(parameters["document"])))
    return {
        "service": request.service,
        "operation": request.operation,
        "parameters": parameters,
    }


def as_text(request: AwsRequest) -> str:
    """Write a request for people: its name, and a line for each argument."""
    made = shown(request)
    lines = [f"{made['service']} {made['operation']}"]
    for name, value in made["parameters"].items():
        if name == "document":
            text = json.dumps(json.loads(value), indent=2)
            lines += [f"  document: {text.replace(chr(10), chr(10) + '  ')}"]
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            lines.append(f"  {name}: {text}")
    return "\n".join(lines)


def _public(document: Mapping[str, Any]) -> dict[str, Any]:
    public = dict(document)
    if "meta" in public:
        public["meta"] = f"<{len(public['meta'])} characters, not shown>"
    if "log_url" in public and "${" not in public["log_url"]:
        public["log_url"] = without_query(public["log_url"])
    return public

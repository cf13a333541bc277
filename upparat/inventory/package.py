"""The package as AWS's Software Package Catalog knows it, and the update of its shadow.

Sources: the AWS IoT developer guide (Software Package Catalog, Device Shadow), and the patterns of
botocore's ``iot`` model for ``CreatePackageVersion``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

AGENT = "agent"
"""The attribute with the version of the agent, which no hook can set."""

MAX_ATTRIBUTES = 3072
"""Bytes of all attributes together, as JSON. The catalog admits 3 KB for a package version, and the
whole shadow may have 8 KB."""

_VERSION = re.compile(r"[a-zA-Z0-9._-]{1,64}")
_KEY = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


@dataclass(frozen=True)
class Package:
    """What runs on the device."""

    name: str
    version: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def version_of(lines: Iterable[str]) -> str:
    """Take the version from the output of the version hook: its last line that is not empty.

    :raises ValueError: if no version of the catalog can have this name.
    """
    version = next((line.strip() for line in reversed(list(lines)) if line.strip()), "")
    if not version:
        raise ValueError("the version hook has printed nothing")
    if not _VERSION.fullmatch(version):
        raise ValueError(
            f"the catalog admits no version {version!r}: 1 to 64 letters, digits and ._-"
        )
    return version


def attributes_of(lines: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Take the attributes from the output of the inventory hook: lines of ``key=value``.

    :returns: the attributes that AWS admits, and why other lines are left out. The problems name no
        values, because the log may be read by others.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(filter(str.strip, lines), start=1):
        key, equals, value = (part.strip() for part in line.partition("="))
        problem = _problem(found, key, value) if equals else "is not key=value"
        if problem:
            problems.append(f"line {number} {problem}")
        else:
            found[key] = value
    return found, problems


def _problem(found: Mapping[str, str], key: str, value: str) -> str:
    """Why an attribute must not be added; empty if it may."""
    if not _KEY.fullmatch(key):
        return "has a key of other characters than letters, digits and :_-"
    if key == AGENT or key in found:
        return f"sets {key} again"
    if not value or any(unicodedata.category(char)[0] == "C" for char in value):
        return f"has a value of {key} that is empty or cannot be printed"
    if len(json.dumps({**found, key: value})) > MAX_ATTRIBUTES:
        return f"makes the attributes longer than {MAX_ATTRIBUTES} bytes"
    return ""


def shadow_update(package: Package, before: Package | None) -> dict[str, object]:
    """Make the update of the shadow.

    :param before: the package that AWS has accepted last. An attribute that has gone since is set
        to ``null``, because AWS keeps what an update does not name.
    """
    gone = before.attributes.keys() - package.attributes.keys() if before else ()
    attributes = {**dict.fromkeys(sorted(gone)), **package.attributes}
    reported = {package.name: {"version": package.version, "attributes": attributes}}
    return {"state": {"reported": reported}}

"""The things and thing groups that get a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .request import AwsRequest, BadArgument

MOST_TARGETS = 100
"""Targets that AWS admits for one job."""

_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]{1,576}", re.ASCII)


class TargetKind(Enum):
    """What a target is: as an ARN names it, and the operation of AWS that describes it."""

    THING = "thing", "describe_thing", "thingName"
    GROUP = "thinggroup", "describe_thing_group", "thingGroupName"

    def __init__(self, resource: str, operation: str, parameter: str) -> None:
        self.resource = resource
        self.operation = operation
        self.parameter = parameter


@dataclass(frozen=True)
class Target:
    """A thing or a group.

    :ivar option: the option that has named it, for messages.
    """

    kind: TargetKind
    name: str
    option: str

    @property
    def look_up(self) -> AwsRequest:
        """The request that fails if AWS does not know the target."""
        return AwsRequest("iot", self.kind.operation, {self.kind.parameter: self.name})


@dataclass(frozen=True)
class Account:
    """Where the job is made, from the ARN of the role, which is in the same account."""

    partition: str
    number: str

    def arn(self, target: Target, region: str) -> str:
        kind = target.kind.resource
        return f"arn:{self.partition}:iot:{region}:{self.number}:{kind}/{target.name}"


def account_of(role: str) -> Account:
    """Read the account from the ARN of a role.

    :raises BadArgument: if it is none.
    """
    found = _ROLE.fullmatch(role)
    if not found:
        raise BadArgument(f"--role-arn: {role!r} is not like arn:aws:iam::123456789012:role/NAME")
    return Account(found[1], found[2])


def targets(
    things: Sequence[str], groups: Sequence[str], things_from: Path | None
) -> tuple[Target, ...]:
    """Gather the targets, each once.

    :param things_from: a file with the name of a thing in each line. Blank lines, and lines that
        begin with ``#``, are left out.
    :raises BadArgument: for a name that AWS does not admit, none, too many, or an unreadable file.
    """
    found = [
        *(Target(TargetKind.THING, _admitted(name, "--thing"), "--thing") for name in things),
        *(Target(TargetKind.GROUP, _admitted(name, "--group"), "--group") for name in groups),
        *(_things_from(things_from) if things_from else ()),
    ]
    unique = tuple({(target.kind, target.name): target for target in found}.values())
    if not unique:
        raise BadArgument("--thing, --group or --things-from: name a target")
    if len(unique) > MOST_TARGETS:
        raise BadArgument(
            f"{unique[-1].option}: {len(unique)} targets, AWS admits {MOST_TARGETS} for a job:"
            " put the things into a group"
        )
    return unique


def _things_from(file: Path) -> Iterator[Target]:
    for number, line in enumerate(_lines(file), 1):
        name = line.strip()
        if name and not name.startswith("#"):
            option = f"--things-from {file}:{number}"
            yield Target(TargetKind.THING, _admitted(name, option), option)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise BadArgument(f"--things-from: {file}: {error.strerror}") from None
    except ValueError:
        raise BadArgument(f"--things-from: {file} is no text in UTF-8") from None


def _admitted(name: str, option: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadArgument(f"{option}: {name!r} is not 1 to 128 characters of a-z A-Z 0-9 : _ -")
    return name

"""What the user orders, and the request that makes the job of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upparat.iotjobs.wire import addressable

from .request import AwsRequest, BadArgument
from .targets import Account, Target
from .units import AbortRule, Schedule

URL_SECONDS = 3600
"""How long a signed URL holds: the longest that AWS admits."""

_VERSION_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_PACKAGE_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


@dataclass(frozen=True)
class RolloutPlan:
    """How AWS rolls a job out. What is ``None`` is left to AWS.

    :ivar per_minute: devices that are notified a minute.
    :ivar timeout: minutes for an execution in progress.
    """

    per_minute: int | None = None
    abort: AbortRule | None = None
    timeout: int | None = None
    retries: int | None = None
    schedule: Schedule | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of ``create_job``."""
        made = {
            "jobExecutionsRolloutConfig": self.per_minute and {"maximumPerMinute": self.per_minute},
            "abortConfig": self.abort and {"criteriaList": [_criteria(self.abort)]},
            "timeoutConfig": self.timeout and {"inProgressTimeoutInMinutes": self.timeout},
            "jobExecutionsRetryConfig": self.retries
            and {"criteriaList": [{"failureType": "ALL", "numberOfRetries": self.retries}]},
            "schedulingConfig": self.schedule and _scheduling(self.schedule),
        }
        return {name: value for name, value in made.items() if value}


def _criteria(rule: AbortRule) -> dict[str, Any]:
    return {
        "failureType": "ALL",
        "action": "CANCEL",
        "thresholdPercentage": rule.percent,
        "minNumberOfExecutedThings": rule.after,
    }


def _scheduling(schedule: Schedule) -> dict[str, str]:
    times = {"startTime": schedule.start, "endTime": schedule.end}
    return {name: time for name, time in times.items() if time}


@dataclass(frozen=True)
class Order:
    """A release and its devices, as the user orders them. All members are valid.

    :ivar package: a package of the catalog, whose version the job installs; empty for none.
    :ivar key_file: the private key; ``None`` for no signature.
    :ivar meta: for the hooks; may be a secret.
    :ivar log_url: may be a secret.
    :ivar delta: whether devices may fetch what has changed: a zchunk file goes with the file.
    :ivar job_id: empty for one that is made of the release and its targets.
    """

    file: Path
    version: str
    targets: tuple[Target, ...]
    bucket: str
    prefix: str
    role: str
    account: Account
    rollout: RolloutPlan = field(default_factory=RolloutPlan)
    package: str = ""
    key_file: Path | None = None
    product: str = ""
    meta: str = field(default="", repr=False)
    force: bool = False
    log_url: str = field(default="", repr=False)
    job_id: str = ""
    delta: bool = False

    def __post_init__(self) -> None:
        """Check what does not need AWS.

        :raises BadArgument: for a job id or a package that AWS does not admit.
        """
        if self.job_id and not addressable(self.job_id):
            raise BadArgument(
                f"--job-id: {self.job_id!r} is not 1 to 64 characters of a-z A-Z 0-9 _ -,"
                " or is the name of a topic"
            )
        if self.package:
            _check_package(self.package, self.version)

    @property
    def package_look_up(self) -> AwsRequest | None:
        """The request that fails if the catalog does not have the version of the package."""
        if not self.package:
            return None
        names = {"packageName": self.package, "versionName": self.version}
        return AwsRequest("iot", "get_package_version", names)

    def job_id_of(self, sha256: str) -> str:
        """Return the id of the job: the same for the same file, version and targets.

        So a command that is repeated by mistake makes no second job.
        """
        if self.job_id:
            return self.job_id
        names = sorted((target.kind.resource, target.name) for target in self.targets)
        digest = hashlib.sha256(f"{sha256} {self.version} {names}".encode()).hexdigest()
        version = re.sub(r"[^a-zA-Z0-9_-]+", "-", self.version).strip("-")[:40]
        return "-".join(part for part in ("update", version, digest[:8]) if part)

    def create_job(self, job_id: str, document: str, region: str) -> AwsRequest:
        """Return the request that makes the job.

        :param document: as :func:`upparat.publish.document.encoded` writes it.
        """
        arns = [self.account.arn(target, region) for target in self.targets]
        more = {**self.rollout.parameters(), **self._package(region)}
        return create_job(job_id, arns, document, self.role, **more)

    def _package(self, region: str) -> Mapping[str, Any]:
        if not self.package:
            return {}
        home = f"arn:{self.account.partition}:iot:{region}:{self.account.number}"
        arn = f"{home}:package/{self.package}/version/{self.version}"
        return {"destinationPackageVersions": [arn]}


def create_job(
    job_id: str,
    targets: list[str],
    document: str,
    role: str,
    *,
    expires: int = URL_SECONDS,
    **more: object,
) -> AwsRequest:
    """Return the request that makes a job with signed URLs.

    :param targets: the ARNs of things and groups.
    :param role: the ARN of the role that signs the URLs.
    :param expires: seconds that a URL holds, 60 to 3600.
    :param more: more arguments of boto3's ``create_job``.
    """
    parameters = {
        "jobId": job_id,
        "targets": targets,
        "document": document,
        "presignedUrlConfig": {"roleArn": role, "expiresInSec": expires},
        **more,
    }
    return AwsRequest("iot", "create_job", parameters)


def _check_package(package: str, version: str) -> None:
    if not _PACKAGE_NAME.fullmatch(package):
        raise BadArgument(f"--package: {package!r} is not 1 to 128 characters of a-z A-Z 0-9 . _ -")
    if not _VERSION_NAME.fullmatch(version):
        raise BadArgument(
            f"--version: the catalog of --package admits 1 to 64 characters of"
            f" a-z A-Z 0-9 . _ -, not {version!r}"
        )

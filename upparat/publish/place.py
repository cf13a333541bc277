"""Where the files of releases are in S3, and how a job document names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .request import BadArgument

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?:[a-zA-Z0-9_.-]+/)*[a-zA-Z0-9_.-]+")
_UNUSUAL = re.compile(r"[^a-zA-Z0-9_.-]+")
MOST_PREFIX = 512


@dataclass(frozen=True)
class Place:
    """An object in S3."""

    region: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def parameters(self) -> dict[str, object]:
        """The arguments of boto3 that name the object."""
        return {"Bucket": self.bucket, "Key": self.key}

    @property
    def placeholder(self) -> str:
        """The URL of the object for a job document. AWS replaces it by a signed one at delivery."""
        return f"${{aws:iot:s3-presigned-url:{self._url}}}"

    @property
    def upload_placeholder(self) -> str:
        """The same for an upload to the object."""
        return f"${{aws:iot:s3-presigned-url-upload:{self._url}}}"

    @property
    def _url(self) -> str:
        suffix = ".cn" if self.region.startswith("cn-") else ""
        return f"https://s3.{self.region}.amazonaws.com{suffix}/{self.bucket}/{self.key}"


def check_place(bucket: str, prefix: str) -> None:
    """Check the names that the user gives.

    :raises BadArgument: if S3 does not admit them, or a URL would have to escape them.
    """
    if not _BUCKET.fullmatch(bucket):
        raise BadArgument(f"--bucket: {bucket!r} is no name of a bucket")
    if prefix and (not _PREFIX.fullmatch(prefix) or len(prefix) > MOST_PREFIX):
        raise BadArgument(f"--prefix: {prefix!r} is not a-z A-Z 0-9 . _ -, with single / between")


def key_of(prefix: str, sha256: str, name: str) -> str:
    """Make the key of a file. It holds the digest: another file never replaces the one of a job."""
    usual = _UNUSUAL.sub("-", name)[-128:]
    return "/".join(part for part in (prefix, sha256, usual) if part)


def log_place(text: str, region: str) -> str:
    """Make the ``log_url`` of ``s3://BUCKET/PREFIX``: one object for each execution.

    Other texts stay as they are.

    :raises BadArgument: for names that S3 does not admit.
    """
    if not text.startswith("s3://"):
        return text
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/")
    if not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
        raise BadArgument(f"--log-url: {text!r} is not like s3://BUCKET/PREFIX")
    name = "${thingName}/${jobId}/${executionNumber}.txt"
    return Place(region, bucket, f"{prefix}/{name}" if prefix else name).upload_placeholder

"""Requests to AWS as values, and the port that sends them.

Everything but :mod:`upparat.publish.boto` builds requests and reads answers. So a dry run shows the
same requests that a real run sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

EXIT_FAILED = 1
EXIT_USAGE = 2


class PublishFailed(Exception):
    """Publishing fails in a way that is to be expected. The message is one line for the user.

    :ivar status: the exit status of the command.
    """

    def __init__(self, message: str, status: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.status = status


class BadArgument(PublishFailed):
    """An argument cannot be used. The message begins with its name."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)


@dataclass(frozen=True)
class FilePiece:
    """Bytes of a file that are the body of a request.

    :ivar sha256: their digest in base64, as S3 has it.
    """

    path: Path
    offset: int
    length: int
    sha256: str

    def __str__(self) -> str:
        return f"<{self.length} bytes from {self.offset}>"

    def read(self) -> bytes:
        """Read the bytes.

        :raises OSError: if the file cannot be read.
        :raises PublishFailed: if the file has become shorter.
        """
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            content = stream.read(self.length)
        if len(content) != self.length:
            raise PublishFailed(f"{self.path} has changed during the upload")
        return content


@dataclass(frozen=True)
class AwsRequest:
    """A request to AWS.

    :ivar service: as boto3 names it, such as ``iot``.
    :ivar operation: the method of boto3's client, such as ``create_job``.
    :ivar parameters: its arguments; a ``Body`` is a :class:`FilePiece`.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def action(self) -> str:
        """The right that the request needs, such as ``iot:CreateJob``."""
        name = "".join(word.capitalize() for word in self.operation.split("_"))
        return f"{self.service}:{_ACTIONS.get(name, name)}"


_ACTIONS = {
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "ListJobExecutionsForJob": "ListJobExecutionsForJob",
}
"""Rights whose names are not those of their operations."""


class AwsRefused(Exception):
    """AWS has refused a request. The message is AWS's.

    :ivar code: AWS's, such as ``ResourceNotFoundException``; ``404`` where AWS sends no body.
    """

    def __init__(self, request: AwsRequest, code: str, message: str) -> None:
        super().__init__(message)
        self.request = request
        self.code = code

    @property
    def missing(self) -> bool:
        """Whether AWS knows no such thing."""
        return self.code in ("404", "NotFound") or self.code.startswith(
            ("NoSuch", "ResourceNotFound")
        )

    @property
    def forbidden(self) -> bool:
        """Whether the credentials lack the right."""
        return self.code == "403" or self.code.startswith(
            ("AccessDenied", "Forbidden", "Unauthorized")
        )


class AwsUnreachable(PublishFailed):
    """AWS could not be asked: no connection, no answer."""


class Aws(Protocol):
    """Sends requests. Several threads may call it at once."""

    def call(self, request: AwsRequest) -> Mapping[str, Any]:
        """Send a request, and return the answer.

        :raises AwsRefused: if AWS refuses it.
        :raises AwsUnreachable: if there is no answer, after some tries.
        :raises PublishFailed: if it cannot be sent: no credentials, no region.
        """

"""One line for each way in which AWS refuses a request."""

from __future__ import annotations

import re

from upparat.text import printable

from .request import AwsRefused, PublishFailed

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_QUERY = re.compile(r"\?[^\s\"']*")
_USER_INFO = re.compile(r"//[^/\s\"']*@")


def without_secrets(text: str) -> str:
    """Make a message of AWS or boto3 one line, without the queries and users of its URLs."""
    return printable(_USER_INFO.sub("//", _QUERY.sub("", text)))


def explained(refused: AwsRefused, subject: str) -> PublishFailed:
    """Say why AWS has refused a request.

    :param subject: the option that it is about, with its value.
    """
    message = without_secrets(str(refused))
    if refused.code in _EXPIRED:
        return PublishFailed(f"the credentials have expired: {message}")
    if refused.code in _CREDENTIALS:
        return PublishFailed(f"AWS does not accept the credentials: {message}")
    passing = "iam:PassRole" in message
    if refused.forbidden or passing:
        right = "iam:PassRole" if passing else refused.request.action
        return PublishFailed(f"{subject}: the right {right} is missing: {message}")
    if refused.code in ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidPart"):
        return PublishFailed(f"{subject}: the file has changed during the upload: {message}")
    return PublishFailed(f"{subject}: {refused.code}: {message}")

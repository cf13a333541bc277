"""The edge to AWS: boto3's clients, and their errors as ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .refusals import without_secrets
from .request import (
    Aws,
    AwsRefused,
    AwsRequest,
    AwsUnreachable,
    BadArgument,
    FilePiece,
    PublishFailed,
)

ATTEMPTS = 6
"""Tries of a request that a network or a server loses, with pauses that grow up to 20 seconds."""

CONNECTIONS = 10

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")


class BotoAws:
    """Sends requests by boto3.

    :param client: makes the client of a service.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._make = client
        self._clients: dict[str, Any] = {}

    def call(self, request: AwsRequest) -> Mapping[str, Any]:
        """See :meth:`upparat.publish.request.Aws.call`."""
        import botocore.exceptions as errors

        try:
            operation = getattr(self._client(request.service), request.operation)
            answer: Mapping[str, Any] = operation(**_loaded(request.parameters))
        except errors.ClientError as error:
            told = error.response.get("Error", {})
            message = told.get("Message") or str(error)
            raise AwsRefused(request, str(told.get("Code", "")), message) from None
        except errors.BotoCoreError as error:
            raise _failure(error) from None
        except OSError as error:
            raise PublishFailed(f"{request.action}: {error}") from None
        return answer

    def check(self, request: AwsRequest) -> None:
        """Compare a request with botocore's model of AWS, and send nothing.

        :raises PublishFailed: if AWS would refuse its form.
        """
        from botocore.validate import ParamValidator

        client = self._client(request.service)
        name = client.meta.method_to_api_mapping[request.operation]
        shape = client.meta.service_model.operation_model(name).input_shape
        found = ParamValidator().validate(_emptied(request.parameters), shape)
        if found.has_errors():
            problem = " ".join(found.generate_report().split())
            raise PublishFailed(f"{request.action}: {problem}")

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]


def _is_port(aws: BotoAws) -> Aws:
    return aws


def connect(region: str, endpoint: str) -> tuple[BotoAws, str]:
    """Make the edge with the credentials and the region of the environment, as ``aws`` has them.

    :param region: empty for the one that is configured.
    :param endpoint: the URL of another AWS, such as a local one; empty for the real one.
    :return: the edge and the region.
    :raises PublishFailed: if boto3 is missing, no region is known, or the endpoint is no URL.
    """
    try:
        import boto3
        import botocore.exceptions as errors
        from botocore.config import Config
    except ImportError:
        raise PublishFailed("boto3 is not installed: run pip install 'upparat[aws]'") from None
    try:
        session = boto3.session.Session(region_name=region or None)
        known = session.region_name or ""
    except errors.BotoCoreError as error:
        raise _failure(error) from None
    if not known:
        raise BadArgument("--region: none is given, and none is configured: see aws configure")
    if not _REGION.fullmatch(known):
        raise BadArgument(f"--region: {known!r} is no region such as eu-central-1")
    config = Config(
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        s3={"addressing_style": "path"} if endpoint else {},
    )

    def client(service: str) -> Any:
        try:
            return session.client(service, endpoint_url=endpoint or None, config=config)
        except ValueError as error:
            raise BadArgument(f"--endpoint-url: {without_secrets(str(error))}") from None

    return BotoAws(client), known


def _failure(error: Exception) -> PublishFailed:
    """Say what an error of boto3 means, which is not an answer of AWS."""
    import botocore.exceptions as errors

    text = without_secrets(str(error))
    if isinstance(error, errors.NoCredentialsError):
        return PublishFailed(
            "no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID, see aws configure"
        )
    if isinstance(error, (errors.PartialCredentialsError, errors.CredentialRetrievalError)):
        return PublishFailed(f"credentials: {text}")
    if isinstance(error, (errors.HTTPClientError, errors.ConnectionError)):
        return AwsUnreachable(f"AWS cannot be reached: {text}")
    return PublishFailed(text)


def _loaded(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.read() if isinstance(value, FilePiece) else value
        for name, value in parameters.items()
    }


def _emptied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: b"" if isinstance(value, FilePiece) else value for name, value in parameters.items()
    }

"""The back office of the local AWS: things, files, jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from upparat.job import Status
from upparat.publish.order import create_job
from upparat.publish.place import Place

from . import policies
from .device import Device, Options
from .ministack import LocalAwsError, MiniStack, fetch

WAIT_TIMEOUT = 60.0
_POLL_INTERVAL = 0.1


@dataclass(frozen=True)
class ExecutionStatus:
    """A job execution as the control plane describes it."""

    status: Status
    version_number: int
    number: int
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """``statusDetails.state``, or an empty string."""
        return self.details.get("state", "")


class Cloud:
    """Calls a running local AWS.

    :param mqtt_port: its port of MQTT over TLS.
    """

    def __init__(self, endpoint: str, mqtt_port: int) -> None:
        self.endpoint = endpoint
        self.mqtt_port = mqtt_port

    # --- clients ---

    @cached_property
    def iot(self) -> Any:
        return self.client("iot")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def iam(self) -> Any:
        return self.client("iam")

    def client(self, service: str) -> Any:
        """Make a boto3 client of the local AWS. It ignores the user's own AWS settings."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name=policies.REGION,
        ).client(
            service,
            endpoint_url=self.endpoint,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )

    # --- set-up ---

    def prepare(self) -> None:
        """Create the bucket, the role for signed URLs and the policies that all devices share."""
        self.s3.create_bucket(Bucket=policies.BUCKET)
        self.iam.create_role(
            RoleName=policies.ROLE,
            AssumeRolePolicyDocument=json.dumps(policies.role_trust()),
        )
        self.iam.put_role_policy(
            RoleName=policies.ROLE,
            PolicyName="read-files",
            PolicyDocument=json.dumps(policies.role_policy()),
        )
        for name, policy in (
            (policies.POLICY, policies.device_policy()),
            (policies.INVENTORY_POLICY, policies.inventory_policy()),
        ):
            self.iot.create_policy(policyName=name, policyDocument=json.dumps(policy))

    def create_device(
        self,
        directory: Path,
        thing_name: str,
        options: Options | None = None,
        *,
        hooks: bool = False,
    ) -> Device:
        """Create a thing with its certificate, and the files of its device in ``directory``.

        :param options: of the agent's configuration, in addition to those of the local AWS.
        :param hooks: whether the device gets the example hooks.
        """
        device = Device(thing_name, directory.absolute())
        self.iot.create_thing(thingName=thing_name)
        keys = self.iot.create_keys_and_certificate(setAsActive=True)
        for policy in (policies.POLICY, policies.INVENTORY_POLICY):
            self.iot.attach_policy(policyName=policy, target=keys["certificateArn"])
        self.iot.attach_thing_principal(thingName=thing_name, principal=keys["certificateArn"])
        device.write_keys(self.ca(), keys["certificatePem"], keys["keyPair"]["PrivateKey"])
        if hooks:
            device.write_hooks()
        device.write_config(self.mqtt_port, options)
        return device

    def ca(self) -> str:
        """Fetch the certificate (PEM) of the authority that signed the broker's."""
        return fetch(f"{self.endpoint}/_ministack/iot/ca.pem").decode("ascii")

    # --- files and jobs ---

    def upload(self, key: str, content: bytes) -> str:
        """Store an object; return its ``placeholder``."""
        self.s3.put_object(Bucket=policies.BUCKET, Key=key, Body=content)
        return self.placeholder(key)

    def placeholder(self, key: str) -> str:
        """Return the ``file`` of a job document. AWS replaces it by a signed URL at delivery."""
        return self.place(key).placeholder

    def place(self, key: str) -> Place:
        """Return the place of an object in the bucket."""
        return Place(policies.REGION, policies.BUCKET, key)

    def create_job(
        self,
        job_id: str,
        document: Mapping[str, object],
        things: Iterable[str],
        *,
        expires: int = 3600,
        **options: object,
    ) -> None:
        """Queue a job for things by name.

        :param expires: seconds that a signed URL is valid, 60 to 3600.
        :param options: more arguments of boto3's ``create_job``.
        """
        arns = [policies.thing_arn(thing) for thing in things]
        text = json.dumps(document)
        request = create_job(job_id, arns, text, policies.ROLE_ARN, expires=expires, **options)
        self.iot.create_job(**request.parameters)

    def execution(self, job_id: str, thing: str) -> ExecutionStatus | None:
        """Return the status of a job on a thing, or ``None`` if there is no such execution."""
        try:
            answer = self.iot.describe_job_execution(jobId=job_id, thingName=thing)
        except self.iot.exceptions.ResourceNotFoundException:
            return None
        execution = answer["execution"]
        return ExecutionStatus(
            status=Status(execution["status"]),
            version_number=execution["versionNumber"],
            number=execution["executionNumber"],
            details=execution.get("statusDetails", {}).get("detailsMap", {}),
        )

    def wait(
        self,
        job_id: str,
        thing: str,
        predicate: Callable[[ExecutionStatus], bool] = lambda execution: execution.status.ended,
        timeout: float = WAIT_TIMEOUT,
    ) -> ExecutionStatus:
        """Wait until the execution satisfies the predicate: by default, until it has ended.

        :raises TimeoutError: after ``timeout`` seconds; the message shows the execution.
        """
        deadline = time.monotonic() + timeout
        while True:
            execution = self.execution(job_id, thing)
            if execution is not None and predicate(execution):
                return execution
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job_id} on {thing}: still {execution}")
            time.sleep(_POLL_INTERVAL)

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Cancel a job. Without ``force``, executions in progress continue."""
        self.iot.cancel_job(jobId=job_id, force=force)

    def delete(self, job_id: str, *, force: bool = False) -> None:
        """Delete a job and its executions. Without ``force``, the job must have ended."""
        self.iot.delete_job(jobId=job_id, force=force)


class LocalAws(Cloud):
    """Starts a local AWS that runs inside of the ``with`` block.

    All its files are below ``directory``. It ends with the block, or with this process, even if
    the process is killed.
    """

    def __init__(self, directory: Path) -> None:
        self.ministack = MiniStack(directory)
        super().__init__("", 0)

    @property
    def log_file(self) -> Path:
        return self.ministack.log_file

    def __enter__(self) -> Self:
        require_packages()
        self.ministack.start()
        self.endpoint, self.mqtt_port = self.ministack.endpoint, self.ministack.mqtt_port
        try:
            self.prepare()
        except BaseException:
            self.ministack.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.ministack.stop()


def require_packages() -> None:
    """Check that the packages of the extra are installed.

    :raises LocalAwsError: if not; the message says how to install them.
    """
    missing = [name for name in ("boto3", "ministack") if find_spec(name) is None]
    if missing:
        raise LocalAwsError(
            f"{' and '.join(missing)} not installed: run pip install 'upparat[local]'"
        )

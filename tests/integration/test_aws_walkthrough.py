"""The commands of ``docs/aws.md`` on the local AWS, up to a device that has installed the file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.awscli import WarmAws
from upparat.job import ACTION, Status
from upparat.local import policies
from upparat.local.agent import Supervisor
from upparat.local.aws import Cloud, ExecutionStatus
from upparat.local.device import Device
from upparat.local.ministack import MiniStack

ROOT = Path(__file__).parent.parent.parent
THING = "my-device"
JOB = "update-2-0-0"
PATIENCE = 180.0

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs the package curl"),
]


def replaced(block: str, aws: MiniStack) -> str:
    """The block as it runs here: all that cannot be as it is on AWS."""
    # MiniStack has a certificate authority of its own; nothing here is Amazon's.
    ca = f"{aws.endpoint}/_ministack/iot/ca.pem"
    block = block.replace("https://www.amazontrust.com/repository/AmazonRootCA1.pem", ca)
    # The job of the guide has succeeded when the guide cancels it: cancel another one.
    return re.sub(rf"(cancel-job --job-id) {JOB}", r"\1 another", block)


REPLACED = 2
"""How many blocks ``replaced`` changes. All others run as they are."""


class Shell:
    """One shell in which blocks run one after the other; what they print is kept."""

    _LOOP = 'while read -r block; do . "$block" </dev/null; echo "done: $block"; done'

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self._process = subprocess.Popen(
            ["sh", "-euc", self._LOOP],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._timer = threading.Timer(PATIENCE, self._process.kill)
        self._timer.start()

    def run(self, block: str) -> str:
        """Run a block to its end and return what it has printed; fail if a command fails."""
        file = self.directory / "block.sh"
        file.write_text(block)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file, file=self._process.stdin, flush=True)
        printed = ""
        for line in self._process.stdout:
            if line == f"done: {file}\n":
                return printed
            printed += line
        pytest.fail(f"a command has failed:\n{block}\n{printed}")

    def value(self, name: str) -> str:
        return self.run(f'echo "${name}"\n').strip()

    def close(self) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    ministack = MiniStack(tmp_path_factory.mktemp("aws"))
    ministack.start()
    try:
        yield ministack
    finally:
        ministack.stop()


@pytest.fixture(scope="module")
def shell(aws: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    directory = tmp_path_factory.mktemp("checkout")
    (directory / "examples").symlink_to(ROOT / "examples")
    tools = tmp_path_factory.mktemp("bin")
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": policies.REGION,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "HOME": str(directory),
        "PATH": f"{tools}:{os.environ['PATH']}",
    }
    with WarmAws(tools, environment):
        shell = Shell(directory, environment)
        yield shell
        shell.close()


@pytest.fixture
def cloud(aws: MiniStack) -> Cloud:
    return Cloud(aws.endpoint, aws.mqtt_port)


def walkthrough() -> list[str]:
    """The ``sh`` blocks of the guide, in order."""
    text = (ROOT / "docs/aws.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def the(blocks: list[str], command: str) -> int:
    """The index of the only block that has the command."""
    [found] = [index for index, block in enumerate(blocks) if command in block]
    return found


def put_on_device(directory: Path, mqtt_port: int) -> Device:
    """What ``/etc/upparat`` of the device would be, here: the guide's files, and hooks."""
    device = Device(THING, directory)
    device.write_hooks()
    text = device.config_file.read_text()
    for old, new in {
        r"/etc/upparat": str(directory),
        r"/var/lib/upparat": str(directory / "var"),
        # The endpoint's name and port are MiniStack's for HTTP, and 443 is AWS's.
        r"host = .*": "host = 127.0.0.1",
        r"port = 443": f"port = {mqtt_port}",
    }.items():
        text, times = re.subn(old, new, text)
        assert times, old
    device.config_file.write_text(text)
    return device


def test_the_guide_leads_to_an_updated_device(aws: MiniStack, shell: Shell, cloud: Cloud) -> None:
    as_documented = walkthrough()
    blocks = [replaced(block, aws) for block in as_documented]
    assert sum(new != old for new, old in zip(blocks, as_documented, strict=True)) == REPLACED
    by_hand, watch = the(blocks, "aws s3 mb"), the(blocks, "describe-job-execution")

    run(shell, blocks[:by_hand])
    check_resources(shell, cloud)
    shell.run("unset bucket role policy\n")
    run(shell, blocks[by_hand:watch])
    check_resources(shell, cloud)
    check_job(shell, cloud)
    assert "QUEUED" in shell.run(blocks[watch])

    device = put_on_device(shell.directory / "device", aws.mqtt_port)
    assert device.keyfile.stat().st_mode & 0o077 == 0
    assert work(cloud, device).state == "complete_ready"
    assert "SUCCEEDED" in (printed := shell.run(blocks[watch]))
    assert "complete_ready" in printed
    assert (device.rootfs / "firmware").read_bytes() == firmware(shell)

    cloud.iot.create_job(jobId="another", targets=[shell.value("target")], document="{}")
    run(shell, blocks[watch + 1 :])
    assert cloud.wait("another", THING).status is Status.CANCELED


def run(shell: Shell, blocks: list[str]) -> None:
    for block in blocks:
        shell.run(block)


def check_resources(shell: Shell, cloud: Cloud) -> None:
    """Both ways make the same: bucket, role and policy, which the variables name."""
    buckets = {bucket["Name"] for bucket in cloud.s3.list_buckets()["Buckets"]}
    assert shell.value("bucket") in buckets
    role_name = shell.value("role").rpartition("/")[2]
    role = cloud.iam.get_role(RoleName=role_name)["Role"]
    assert role["AssumeRolePolicyDocument"] == policies.role_trust()
    [policy_name] = cloud.iam.list_role_policies(RoleName=role_name)["PolicyNames"]
    policy = cloud.iam.get_role_policy(RoleName=role_name, PolicyName=policy_name)
    assert policy["PolicyDocument"] == policies.role_policy(shell.value("bucket"))
    assert cloud.iot.get_policy(policyName=shell.value("policy"))["policyDocument"]


def check_job(shell: Shell, cloud: Cloud) -> None:
    job: dict[str, Any] = cloud.iot.describe_job(jobId=JOB)["job"]
    assert job["targets"] == [policies.thing_arn(THING)]
    assert job["presignedUrlConfig"] == {"roleArn": shell.value("role"), "expiresInSec": 3600}
    document = json.loads(cloud.iot.get_job_document(jobId=JOB)["document"])
    assert document["action"] == ACTION
    assert document["size"] == len(firmware(shell))
    assert document["sha256"] == hashlib.sha256(firmware(shell)).hexdigest()


def firmware(shell: Shell) -> bytes:
    return (shell.directory / "firmware.bin").read_bytes()


def work(cloud: Cloud, device: Device) -> ExecutionStatus:
    """Run the agent, start it again after its restart hook, until the job has ended."""
    with Supervisor(device) as supervisor:

        def ended(execution: ExecutionStatus) -> bool:
            supervisor.revive()
            return execution.status.ended

        return cloud.wait(JOB, THING, ended)

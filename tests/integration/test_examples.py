"""The examples that only a broker or a cloud can judge."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.simulator.thing import Thing
from tests.support.bridge import PASSWORD, USER, bridge_config
from tests.support.mosquitto import MOSQUITTO, free_port, requires_mosquitto
from tests.support.waiting import wait_until
from upparat.job import ACTION, Status
from upparat.local import policies
from upparat.local.aws import LocalAws
from upparat.local.ministack import end_group
from upparat.local.watch import hang_up

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws")) as local:
        yield local


@contextlib.contextmanager
def mosquitto(config: Path) -> Iterator[None]:
    command = [str(MOSQUITTO), "-c", str(config)]
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        end_group(process)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.mark.long
@requires_mosquitto
def test_the_bridge_lets_a_device_work_its_jobs(aws: LocalAws, tmp_path: Path) -> None:
    device = aws.create_device(tmp_path, "bridged")
    port = free_port()
    config = bridge_config(tmp_path, port, device, aws.mqtt_port)
    aws.create_job("job", {"a": 1}, ["bridged"])
    with mosquitto(config):
        wait_until(lambda: answers(port))
        assert refused(port)
        with Thing("bridged", port, client_id="upparat", login=(USER, PASSWORD)) as thing:
            wait_until(lambda: listed(thing) == ["job"])
            pretend(port)
            assert thing.ask("job/get")["execution"]["jobDocument"] == {"a": 1}
            thing.ask("job/update", status="SUCCEEDED")
            heard = thing.heard.get(timeout=10)
            assert heard[0] == "notify"
            assert "pretended" not in str(heard), "another user plays AWS"
    assert aws.wait("job", "bridged").status is Status.SUCCEEDED


def refused(port: int) -> bool:
    """Whether a client without a password is sent away."""
    answer: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, "anonymous")
    client.on_connect = lambda _, __, ___, code, ____: answer.put(code.is_failure)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        return answer.get(timeout=10)
    finally:
        hang_up(client)


def pretend(port: int) -> None:
    """Play AWS as a local user: with a password, but without the right to any topic."""
    for user, password in (("other", "x"), (USER, PASSWORD)):
        client = Client(CallbackAPIVersion.VERSION2, f"pretender-{user}")
        client.username_pw_set(user, password)
        client.connect("127.0.0.1", port)
        client.loop_start()
        told = client.publish("$aws/things/bridged/jobs/notify", '{"pretended": 1}', qos=1)
        told.wait_for_publish(10)
        hang_up(client)


def listed(thing: Thing) -> list[str]:
    """The ids of queued jobs; nothing while the bridge is not connected yet."""
    with contextlib.suppress(queue.Empty):
        return [job["jobId"] for job in thing.ask("get", timeout=0.5)["queuedJobs"]]
    return []


RELEASE = {
    "JobTemplateName": "firmware-2-0-0",
    "Version": "2.0.0",
    "FileKey": "firmware/2.0.0.bin",
    "Sha256": "0" * 64,
}


def test_the_template_can_be_deployed(aws: LocalAws) -> None:
    client = aws.client("cloudformation")
    client.create_stack(
        StackName="upparat",
        TemplateBody=(EXAMPLES / "cloudformation.yaml").read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in RELEASE.items()
        ],
    )
    stacks: list[Any] = []

    def done() -> bool:
        stacks[:] = client.describe_stacks(StackName="upparat")["Stacks"]
        return not stacks[0]["StackStatus"].endswith("_IN_PROGRESS")

    wait_until(done)
    assert stacks[0]["StackStatus"] == "CREATE_COMPLETE", stacks
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    policy = aws.iot.get_policy(policyName=outputs["DevicePolicyName"])["policyDocument"]
    assert json.loads(policy) == policies.device_policy()
    role = aws.iam.get_role(RoleName=outputs["DownloadRoleArn"].rpartition("/")[2])["Role"]
    assert role["AssumeRolePolicyDocument"] == policies.role_trust()
    assert outputs["BucketName"] in {b["Name"] for b in aws.s3.list_buckets()["Buckets"]}
    more = aws.iot.get_policy(policyName=outputs["InventoryPolicyName"])["policyDocument"]
    assert json.loads(more) == policies.inventory_policy()
    template = aws.iot.describe_job_template(jobTemplateId="firmware-2-0-0")
    assert template["jobTemplateArn"] == outputs["JobTemplateArn"]
    assert template["abortConfig"]["criteriaList"][0]["minNumberOfExecutedThings"] == 10
    bucket = outputs["BucketName"]
    url = f"https://s3.us-east-1.amazonaws.com/{bucket}/firmware/2.0.0.bin"
    assert json.loads(template["document"]) == {
        "action": ACTION,
        "version": "2.0.0",
        "file": f"${{aws:iot:s3-presigned-url:{url}}}",
        "sha256": "0" * 64,
    }

"""``upparat publish`` against a local AWS: uploads that are cut, and what S3 has at the end."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest

from tests.support.publishing import SECRET, PublishCommand, StallingRelay
from tests.support.waiting import PATIENCE, wait_until
from tests.support.zchunk import image, requires_zck
from upparat.local import policies
from upparat.local.aws import LocalAws
from upparat.publish.boto import BotoAws
from upparat.publish.firmware import PART_SIZE, examine
from upparat.publish.order import Order
from upparat.publish.progress import Console
from upparat.publish.publisher import Publisher, prepare
from upparat.publish.request import AwsRequest
from upparat.publish.targets import Target, TargetKind, account_of
from upparat.publish.upload import WORKERS, FirmwareUpload

pytestmark = pytest.mark.long

THING = "thing-1"
PARTS = 8


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws")) as local:
        local.iot.create_thing(thingName=THING)
        yield local


@pytest.fixture
def publish(aws: LocalAws, tmp_path: Path) -> PublishCommand:
    return PublishCommand(aws.endpoint, tmp_path)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of some parts, another one for each test."""
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(PART_SIZE * (PARTS - 1) + 1000))
    return file


def stored(aws: LocalAws, published: dict[str, Any]) -> bytes:
    key = published["file"].removeprefix(f"s3://{policies.BUCKET}/")
    content: bytes = aws.s3.get_object(Bucket=policies.BUCKET, Key=key)["Body"].read()
    return content


def unfinished(aws: LocalAws) -> list[dict[str, Any]]:
    return aws.s3.list_multipart_uploads(Bucket=policies.BUCKET).get("Uploads", [])  # type: ignore[no-any-return]


def parts(aws: LocalAws, upload: dict[str, Any]) -> list[dict[str, Any]]:
    names = {name: upload[name] for name in ("Key", "UploadId")}
    return aws.s3.list_parts(Bucket=policies.BUCKET, **names).get("Parts", [])  # type: ignore[no-any-return]


def test_the_job_of_a_small_file(aws: LocalAws, publish: PublishCommand, tmp_path: Path) -> None:
    file = tmp_path / "a b.bin"
    file.write_bytes(content := os.urandom(5000))
    [made] = publish.json(
        file,
        *["--thing", THING],
        *["--meta", "m", "--rollout", "50/min", "--abort-at", "20%", "--timeout", "2h"],
        *["--retry", "2", "--schedule", "2027-01-31T02:00/2027-01-31T04:00"],
    )
    assert made["uploaded_bytes"] == 5000
    assert stored(aws, made) == content
    job = aws.iot.describe_job(jobId=made["job_id"])["job"]
    assert job["targets"] == [policies.thing_arn(THING)]
    assert job["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 50}
    assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 120}
    assert job["abortConfig"]["criteriaList"][0]["thresholdPercentage"] == 20
    assert job["schedulingConfig"]["endTime"] == "2027-01-31T04:00"
    document = json.loads(aws.iot.get_job_document(jobId=made["job_id"])["document"])
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert document["meta"] == "m"


def test_a_file_is_uploaded_once(aws: LocalAws, publish: PublishCommand, large: Path) -> None:
    [first] = publish.json(large, "--thing", THING)
    assert first["uploaded_bytes"] == large.stat().st_size
    assert stored(aws, first) == large.read_bytes()
    [again] = publish.json(large, "--thing", THING)
    assert (again["uploaded_bytes"], again["new"]) == (0, False)
    assert again["job_id"] == first["job_id"]
    [another] = publish.json(large, "--thing", THING, "--job-id", "another")
    assert (another["uploaded_bytes"], another["new"]) == (0, True)
    assert unfinished(aws) == []


def cut(
    aws: LocalAws, publish: PublishCommand, file: Path, number: signal.Signals
) -> tuple[int, str]:
    """Send a signal to an upload, when some parts have arrived and others are on their way."""
    limit = PART_SIZE * (WORKERS + 2)
    with StallingRelay(aws.endpoint, limit) as relay:
        publish.endpoint = relay.endpoint
        with publish.start(file, "--thing", THING) as running:
            assert relay.stalled.wait(PATIENCE)
            running.send_signal(number)
            _, told = running.communicate(timeout=PATIENCE)
    publish.endpoint = aws.endpoint
    [upload] = unfinished(aws)
    wait_until(lambda: bool(parts(aws, upload)))
    return running.returncode, told


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_upload_that_is_cut_goes_on(
    aws: LocalAws, publish: PublishCommand, large: Path, number: signal.Signals
) -> None:
    status, told = cut(aws, publish, large, number)
    [upload] = unfinished(aws)
    there = sum(part["Size"] for part in parts(aws, upload))
    assert 0 < there < large.stat().st_size
    [made] = publish.json(large, "--thing", THING)
    assert 0 < made["uploaded_bytes"] <= large.stat().st_size - there
    assert stored(aws, made) == large.read_bytes()
    assert unfinished(aws) == []
    if number is signal.SIGINT:
        assert status == 130
        last = told.splitlines()[-1]
        assert last == "upparat publish: interrupted: the same command goes on where it has stopped"
        assert "Traceback" not in told


class Cut:
    """Lets so many parts through, and then dies as a process does that is killed."""

    def __init__(self, aws: LocalAws, parts: int) -> None:
        self._aws = BotoAws(aws.client)
        self._left = parts
        self.sent: list[int] = []

    def call(self, request: AwsRequest) -> Any:
        if request.operation == "upload_part":
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            self.sent.append(request.parameters["PartNumber"])
        return self._aws.call(request)


def test_no_part_is_sent_twice(aws: LocalAws, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upparat.publish.upload.WORKERS", 1)
    firmware, place = examine(large), aws.place("cut/large.bin")
    sent: list[int] = []
    for cut in (Cut(aws, 3), Cut(aws, 2)):
        with pytest.raises(KeyboardInterrupt):
            FirmwareUpload(cut, place, firmware).run()
        sent += cut.sent
    last = Cut(aws, PARTS)
    FirmwareUpload(last, place, firmware).run()
    assert sorted(sent + last.sent) == list(range(1, PARTS + 1))
    head = aws.s3.head_object(**place.parameters, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == firmware.s3_checksum


def test_s3_refuses_a_file_that_has_changed(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    firmware = examine(file)
    file.write_bytes(b"behind")
    with pytest.raises(Exception, match="did not match"):
        FirmwareUpload(BotoAws(aws.client), aws.place("changed"), firmware).run()


def test_problems_are_told_on_one_line(
    aws: LocalAws, publish: PublishCommand, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for words, status, told in (
        (["--thing", "nobody"], 2, "--thing: there is no thing 'nobody' in us-east-1"),
        (["--group", "none"], 2, "--group: there is no thing group 'none' in us-east-1"),
        (
            ["--thing", THING, "--bucket", "not-there"],
            2,
            "--bucket: there is no bucket 'not-there'",
        ),
    ):
        ran = publish.run(file, *words)
        assert (ran.returncode, ran.stdout) == (status, ""), ran.stderr
        assert ran.stderr.splitlines()[-1] == f"upparat publish: {told}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "no credentials: set AWS_PROFILE"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
        ({"AWS_DEFAULT_REGION": ""}, "--region: none is given"),
    ],
)
def test_an_environment_that_cannot_work(
    publish: PublishCommand, tmp_path: Path, change: dict[str, str], told: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    publish.environment |= change
    for name in [name for name, value in publish.environment.items() if not value]:
        del publish.environment[name]
    ran = publish.run(file, "--thing", THING)
    assert ran.returncode in (1, 2)
    assert told in ran.stderr.splitlines()[-1]


def test_a_dry_run_sends_nothing(aws: LocalAws, publish: PublishCommand, tmp_path: Path) -> None:
    (file := tmp_path / "file").write_bytes(os.urandom(100))
    publish.endpoint = "http://127.0.0.1:1"
    ran = publish.run(file, "--thing", THING, "--dry-run", "--json", "--job-id", "dry")
    assert ran.returncode == 0, ran.stderr
    operations = [json.loads(line)["operation"] for line in ran.stdout.splitlines()]
    assert operations == [
        "head_bucket",
        "describe_thing",
        "head_object",
        "put_object",
        "create_job",
    ]


@requires_zck
def test_a_delta_is_uploaded_once_beside_the_file(
    aws: LocalAws, publish: PublishCommand, tmp_path: Path
) -> None:
    (file := tmp_path / "image.bin").write_bytes(image(300_000))
    words = ["--thing", THING, "--delta"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    publish.environment["TMPDIR"] = str(scratch)
    dry = publish.run(file, *words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    [made] = publish.json(file, *words)
    zck = stored(aws, {"file": made["delta"]})
    assert made["uploaded_bytes"] == 300_000 + len(zck)
    document = json.loads(aws.iot.get_job_document(jobId=made["job_id"])["document"])
    key = made["delta"].removeprefix(f"s3://{policies.BUCKET}/")
    assert key.endswith("/image.bin.zck")
    assert f"  Key: {key}\n" in dry.stdout
    assert document["delta"] == aws.placeholder(key)
    (tmp_path / "stored.zck").write_bytes(zck)
    unpack = ["unzck", "--stdout", str(tmp_path / "stored.zck")]
    assert subprocess.run(unpack, check=True, capture_output=True).stdout == image(300_000)
    [again] = publish.json(file, *words)
    assert (again["uploaded_bytes"], again["new"]) == (0, False), "zck makes the same file"
    assert list(scratch.iterdir()) == []


def test_an_interrupted_watch_leaves_the_job_alone(
    aws: LocalAws, publish: PublishCommand, tmp_path: Path
) -> None:
    (file := tmp_path / "file").write_bytes(os.urandom(100))
    words = ["--thing", THING, "--watch", "--job-id", "watched"]
    with publish.start(file, *words) as watching:
        assert watching.stdout is not None
        for line in watching.stdout:
            if "1 QUEUED" in line:
                break
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 130
    assert "Job watched goes on. To cancel it:" in told
    assert f"aws iot cancel-job --job-id watched --force --region {policies.REGION}" in told
    assert aws.iot.describe_job(jobId="watched")["job"]["status"] == "IN_PROGRESS"


# --- the page of the docs ---

ROOT = Path(__file__).parent.parent.parent


def test_the_commands_of_the_docs(aws: LocalAws, publish: PublishCommand, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "publish.md").read_text(encoding="utf-8")
    install, *blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert "pip install" in install
    variables = {"bucket": policies.BUCKET, "role": policies.ROLE_ARN, "thing": THING}
    ran = subprocess.run(
        ["sh", "-euc", "\n".join(blocks)],
        cwd=tmp_path,
        env={**publish.environment, "AWS_ENDPOINT_URL": aws.endpoint, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    dry, made = re.findall(r"update-2-0-0-[0-9a-f]{8}", ran.stdout)
    assert dry == made
    job = aws.iot.describe_job(jobId=made)["job"]
    assert job["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 50}
    assert job["targets"][0].endswith(":thinggroup/fleet")


# --- rights ---


POLICY = ROOT / "examples" / "publish-policy.json"


def allowed(*, without: str = "") -> dict[str, Any]:
    """The policy of the example, filled in."""
    text = POLICY.read_text(encoding="utf-8").replace("BUCKET", policies.BUCKET)
    text = text.replace("REGION", policies.REGION).replace("ACCOUNT_ID", policies.ACCOUNT)
    policy: dict[str, Any] = json.loads(text)
    for statement in policy["Statement"]:
        actions = statement["Action"]
        statement["Action"] = [action for action in actions if action != without] or ["iot:None"]
    return policy


@pytest.fixture(scope="module")
def publisher(aws: LocalAws) -> dict[str, str]:
    """The access key of a user who may do nothing yet."""
    aws.iam.create_user(UserName="publisher")
    key: dict[str, str] = aws.iam.create_access_key(UserName="publisher")["AccessKey"]
    return key


def allow(aws: LocalAws, policy: dict[str, Any]) -> None:
    aws.iam.put_user_policy(
        UserName="publisher", PolicyName="publish", PolicyDocument=json.dumps(policy)
    )


def as_publisher(aws: LocalAws, home: Path, key: dict[str, str]) -> PublishCommand:
    return PublishCommand(aws.endpoint, home, key["AccessKeyId"], key["SecretAccessKey"])


def test_the_policy_of_the_example_is_enough(
    aws: LocalAws, publisher: dict[str, str], large: Path, tmp_path: Path
) -> None:
    allow(aws, allowed())
    command = as_publisher(aws, tmp_path, publisher)
    [made] = command.json(large, "--thing", THING)
    [again] = command.json(large, "--thing", THING)
    assert (made["new"], again["new"]) == (True, False)
    aws.cancel(made["job_id"], force=True)
    ran = command.run(large, "--thing", THING, "--watch")
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (
        4,
        f"{made['job_id']}: CANCELED, 1 CANCELED",
    )


@pytest.mark.parametrize(
    ("right", "told"),
    [
        ("s3:ListBucket", "--bucket upparat-local-files: the right s3:ListBucket is missing"),
        ("s3:PutObject", "--bucket upparat-local-files: the right s3:PutObject is missing"),
        ("iot:DescribeThing", f"--thing {THING}: the right iot:DescribeThing is missing"),
        ("iot:CreateJob", "job refused: the right iot:CreateJob is missing"),
    ],
)
def test_a_missing_right_is_named(
    aws: LocalAws, publisher: dict[str, str], tmp_path: Path, right: str, told: str
) -> None:
    (file := tmp_path / "file").write_bytes(os.urandom(100))
    allow(aws, allowed(without=right))
    ran = as_publisher(aws, tmp_path, publisher).run(file, "--thing", THING, "--job-id", "refused")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith(f"upparat publish: {told}: ")


# --- another AWS ---


def test_moto_agrees(large: Path) -> None:
    """Another stand-in for AWS, which knows nothing of the first."""
    with moto.mock_aws():
        session = boto3.session.Session("key", SECRET, region_name=policies.REGION)
        session.client("s3").create_bucket(Bucket=policies.BUCKET)
        session.client("iot").create_thing(thingName=THING)
        aws = BotoAws(session.client)
        target = Target(TargetKind.THING, THING, "--thing")
        role = policies.ROLE_ARN
        order = Order(large, "2.0", (target,), policies.BUCKET, "", role, account_of(role))
        console = Console(io.StringIO())
        publisher = Publisher(aws, console)
        release = publisher.check(prepare(order, policies.REGION, console))
        assert publisher.upload(release) == large.stat().st_size
        body = session.client("s3").get_object(**release.place.parameters)["Body"]
        assert body.read() == large.read_bytes()
        assert publisher.make_job(release)
        document = session.client("iot").get_job_document(jobId=release.job_id)["document"]
        assert json.loads(document)["file"] == release.place.placeholder

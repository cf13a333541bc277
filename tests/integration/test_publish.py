"""``upparat publish`` against a local AWS: uploads that are cut, and what S3 has at the end."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENCE, wait_until
from upparat.local import policies
from upparat.local.aws import LocalAws
from upparat.publish.boto import BotoAws
from upparat.publish.firmware import PART_SIZE, examine
from upparat.publish.request import AwsRequest
from upparat.publish.upload import FirmwareUpload

THING = "thing-1"
PARTS = 8


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws")) as local:
        local.iot.create_thing(thingName=THING)
        yield local


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret-access-key",
        "AWS_DEFAULT_REGION": policies.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
    }


class Publish:
    """Runs the command as its users do."""

    def __init__(self, aws: LocalAws, environment: dict[str, str]) -> None:
        self.environment = environment
        self.endpoint = aws.endpoint

    def command(self, file: Path, *words: str) -> list[str]:
        usual = ["--version", "2.0.0", "--bucket", policies.BUCKET]
        local = ["--role-arn", policies.ROLE_ARN, "--endpoint-url", self.endpoint]
        main = "from upparat.commands.main import main; main()"
        return [sys.executable, "-c", main, "publish", str(file), *usual, *local, *words]

    def run(self, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            self.command(file, *words),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * PATIENCE,
        )
        assert "Traceback" not in ran.stderr
        assert "secret-access-key" not in ran.stdout + ran.stderr
        return ran

    def json(self, file: Path, *words: str) -> dict[str, Any]:
        ran = self.run(file, "--thing", THING, "--json", *words)
        assert ran.returncode == 0, ran.stderr
        made: dict[str, Any] = json.loads(ran.stdout.splitlines()[0])
        return made

    def start(self, file: Path, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(file, "--thing", THING, *words),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def publish(aws: LocalAws, environment: dict[str, str]) -> Publish:
    return Publish(aws, environment)


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


def test_the_job_of_a_small_file(aws: LocalAws, publish: Publish, tmp_path: Path) -> None:
    file = tmp_path / "a b.bin"
    file.write_bytes(content := os.urandom(5000))
    made = publish.json(
        file,
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


def test_a_file_is_uploaded_once(aws: LocalAws, publish: Publish, large: Path) -> None:
    first = publish.json(large)
    assert first["uploaded_bytes"] == large.stat().st_size
    assert stored(aws, first) == large.read_bytes()
    again = publish.json(large)
    assert (again["uploaded_bytes"], again["new"]) == (0, False)
    assert again["job_id"] == first["job_id"]
    another = publish.json(large, "--job-id", "another")
    assert (another["uploaded_bytes"], another["new"]) == (0, True)
    assert unfinished(aws) == []


def test_a_killed_upload_goes_on(aws: LocalAws, publish: Publish, large: Path) -> None:
    killed = publish.start(large)
    try:
        wait_until(lambda: any(parts(aws, upload) for upload in unfinished(aws)))
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    [upload] = unfinished(aws)
    # A request that was on its way may still be answered.
    wait_until(lambda: parts(aws, upload) == parts(aws, upload))
    there = sum(part["Size"] for part in parts(aws, upload))
    made = publish.json(large)
    assert 0 < made["uploaded_bytes"] <= large.stat().st_size - there
    assert stored(aws, made) == large.read_bytes()
    assert unfinished(aws) == []


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


def test_problems_are_told_on_one_line(aws: LocalAws, publish: Publish, tmp_path: Path) -> None:
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
    publish: Publish, tmp_path: Path, change: dict[str, str], told: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    publish.environment |= change
    for name in [name for name, value in publish.environment.items() if not value]:
        del publish.environment[name]
    ran = publish.run(file, "--thing", THING)
    assert ran.returncode in (1, 2)
    assert told in ran.stderr.splitlines()[-1]


def test_a_dry_run_sends_nothing(aws: LocalAws, publish: Publish, tmp_path: Path) -> None:
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


def test_an_interrupted_watch_leaves_the_job_alone(
    aws: LocalAws, publish: Publish, tmp_path: Path
) -> None:
    (file := tmp_path / "file").write_bytes(os.urandom(100))
    words = publish.command(file, "--thing", THING, "--watch", "--job-id", "watched")
    with subprocess.Popen(
        words, env=publish.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
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

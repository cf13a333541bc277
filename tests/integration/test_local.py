"""The local AWS for real: a device over mTLS, files and jobs."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.thing import Thing
from tests.support.waiting import PATIENCE
from upparat.job import Status
from upparat.local import ministack
from upparat.local.aws import LocalAws
from upparat.local.watch import Watcher


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws")) as local:
        yield local


# --- a device and its jobs ---


def test_a_job_reaches_its_thing_and_its_end(aws: LocalAws, tmp_path: Path) -> None:
    device = aws.create_device(tmp_path, "thing-1")
    file = aws.upload("some where/a b.bin", b"content")
    with Thing(device.thing_name, aws.mqtt_port, device) as thing:
        aws.create_job("job-1", {"file": file}, ["thing-1"])
        queued = aws.wait("job-1", "thing-1", lambda execution: True)
        assert (queued.status, queued.version_number, queued.number) == (Status.QUEUED, 1, 1)
        assert thing.heard.get(timeout=PATIENCE)[0] == "notify"
        document = thing.ask("job-1/get")["execution"]["jobDocument"]
        assert ministack.fetch(document["file"]) == b"content"
        thing.ask("job-1/update", status="SUCCEEDED", statusDetails={"state": "s"})
    ended = aws.wait("job-1", "thing-1")
    assert (ended.status, ended.state, ended.version_number) == (Status.SUCCEEDED, "s", 2)


def test_the_signed_url_is_worth_nothing_when_it_is_changed(aws: LocalAws, tmp_path: Path) -> None:
    device = aws.create_device(tmp_path, "thing-2")
    aws.create_job("job-2", {"file": aws.upload("secret", b"content")}, ["thing-2"])
    with Thing(device.thing_name, aws.mqtt_port, device) as thing:
        url = thing.ask("job-2/get")["execution"]["jobDocument"]["file"]
    for wrong in (url.partition("?")[0], url[:-1] + "z"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ministack.fetch(wrong)


def test_the_policy_is_enforced(aws: LocalAws, tmp_path: Path) -> None:
    device = aws.create_device(tmp_path, "thing-3")
    with Thing(device.thing_name, aws.mqtt_port, device) as thing:
        thing.client.publish("$aws/things/thing-1/jobs/get", "{}", 1)
        assert thing.event() == "disconnected"
    stranger = Thing(device.thing_name, aws.mqtt_port, device, "another")
    try:
        assert stranger.event() == "disconnected"
    finally:
        stranger.__exit__()


def test_cancel_and_delete(aws: LocalAws, tmp_path: Path) -> None:
    aws.create_device(tmp_path, "thing-4")
    aws.create_job("job-4", {"a": 1}, ["thing-4"])
    aws.cancel("job-4")
    assert aws.wait("job-4", "thing-4").status is Status.CANCELED
    aws.delete("job-4", force=True)
    assert aws.execution("job-4", "thing-4") is None


def test_what_a_device_reports_can_be_watched(aws: LocalAws, tmp_path: Path) -> None:
    device = aws.create_device(tmp_path, "thing-5")
    aws.create_job("job-5", {"a": 1}, ["thing-5"])
    with Watcher(aws.mqtt_port, device.cafile, "thing-5") as watcher:
        with Thing(device.thing_name, aws.mqtt_port, device) as thing:
            thing.ask("job-5/update", status="IN_PROGRESS", statusDetails={"state": "a"})
            thing.ask("job-5/update", status="FAILED", statusDetails={"state": "b"})
        seen: list[tuple[str, str]] = []
        while len(seen) < 2:
            seen += [(update.job_id, update.state) for update in watcher.updates(PATIENCE)]
    assert seen == [("job-5", "a"), ("job-5", "b")]


def test_there_is_nothing_to_watch_where_nobody_answers(aws: LocalAws, tmp_path: Path) -> None:
    device = aws.create_device(tmp_path, "thing-6")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    with pytest.raises(OSError, match="refused"), Watcher(port, device.cafile, "thing-6"):
        pass

"""Requests that are shown, and not sent."""

from __future__ import annotations

import io
import json
from typing import Any

from upparat.publish.dryrun import as_text, requests_of, shown
from upparat.publish.progress import Console
from upparat.publish.publisher import Release, prepare

from .bench import GROUP, MODEL, REGION, THING, PublishBench
from .test_deltafile import DeltaBench


class DryRunTests(PublishBench):
    def release(self, **more: Any) -> Release:
        self.file()
        return prepare(self.order(**more), REGION, Console(io.StringIO()))

    def test_every_request_in_its_order(self) -> None:
        requests = list(requests_of(self.release(targets=(THING, GROUP), package="app")))
        self.assertEqual(
            [request.operation for request in requests],
            [
                "head_bucket",
                "describe_thing",
                "describe_thing_group",
                "get_package_version",
                "head_object",
                "put_object",
                "create_job",
            ],
        )
        for request in requests:
            MODEL.check(request)

    def test_they_are_json(self) -> None:
        *_, put, create = map(shown, requests_of(self.release()))
        self.assertEqual(put["parameters"]["Body"], "<8 bytes from 0>")
        self.assertEqual(create["operation"], "create_job")
        self.assertEqual(json.loads(create["parameters"]["document"])["version"], "2.0.0")
        json.dumps([put, create])

    def test_as_text(self) -> None:
        *_, create = requests_of(self.release())
        lines = as_text(create).splitlines()
        self.assertEqual(lines[0], "iot create_job")
        self.assertIn('    "version": "2.0.0",', lines)
        self.assertIn('  targets: ["arn:aws:iot:eu-central-1:123456789012:thing/thing-1"]', lines)

    def test_secrets_do_not_show(self) -> None:
        release = self.release(meta="hushed-1", log_url="https://u:hushed-2@h/log?hushed-3")
        *_, create = requests_of(release)
        for text in (as_text(create), json.dumps(shown(create)), repr(release)):
            self.assertNotIn("hushed", text)
        document = json.loads(shown(create)["parameters"]["document"])
        self.assertEqual(document["meta"], "<8 characters, not shown>")
        self.assertEqual(document["log_url"], "https://h/log")
        sent = json.loads(create.parameters["document"])
        self.assertEqual(sent["meta"], "hushed-1")
        self.assertIn("hushed-3", sent["log_url"])

    def test_a_placeholder_shows(self) -> None:
        *_, create = requests_of(self.release(log_url="s3://files/logs"))
        document = json.loads(shown(create)["parameters"]["document"])
        self.assertIn("/files/logs/${thingName}/", document["log_url"])


class DeltaTests(DeltaBench):
    def test_the_zchunk_file_goes_with_the_file(self) -> None:
        self.file()
        release = prepare(self.order(delta=True), REGION, Console(self.told), self.scratch)
        requests = list(requests_of(release))
        *_, head, put, create = requests
        self.assertEqual([each.operation for each in (head, put)], ["head_object", "put_object"])
        self.assertIn('"delta": "${aws:iot:s3-presigned-url:', as_text(create))
        for request in requests:
            MODEL.check(request)

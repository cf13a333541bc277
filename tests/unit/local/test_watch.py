"""Updates that devices publish."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.certs import Authority
from upparat.local import watch


class Watch(SynchronousTestCase):
    def setUp(self) -> None:
        cafile = Path(self.mktemp())
        Authority().write(cafile)
        self.watcher = watch.Watcher(1, cafile, "t")

    def receive(self, payload: bytes) -> list[watch.Update]:
        message = SimpleNamespace(topic="$aws/things/t/jobs/j/update", payload=payload)
        self.watcher._received(None, None, message)
        return list(self.watcher.updates())

    def test_an_update_is_read(self) -> None:
        payload = {"status": "FAILED", "statusDetails": {"state": "s", "message": "m"}}
        [update] = self.receive(json.dumps(payload).encode())
        self.assertEqual((update.job_id, update.status), ("j", "FAILED"))
        self.assertEqual((update.state, update.message), ("s", "m"))

    def test_details_may_be_missing(self) -> None:
        [update] = self.receive(b'{"status": "FAILED"}')
        self.assertEqual((update.state, update.message), ("", ""))

    def test_what_is_no_update_is_passed_over(self) -> None:
        for payload in (b"\xff", b"[]", b"{}"):
            self.assertEqual(self.receive(payload), [])

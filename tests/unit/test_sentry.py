"""What is removed from the events for Sentry; the rest is in the integration tests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat import sentry
from upparat.sentry import REMOVED, Scrubber

URL = "https://bucket.s3.amazonaws.com/f.bin?X-Amz-Signature=secret"


class ScrubberTests(SynchronousTestCase):
    def scrub(self, value: object, *secrets: str) -> object:
        return Scrubber(secrets).scrub(value)

    def test_keys(self) -> None:
        for key in ("meta", "file", "password", "keyfile", "Authorization", "UPPARAT_META"):
            event = {"extra": [{"data": {key: {"deep": "secret"}, "other": 1}}]}
            expected = {"extra": [{"data": {key: REMOVED, "other": 1}}]}
            self.assertEqual(self.scrub(event), expected)

    def test_urls_at_any_depth(self) -> None:
        event = {
            "logentry": {"message": f"cannot get {URL}"},
            "exception": {"values": ({"type": "ValueError", "value": [URL]},)},
            "breadcrumbs": {"values": [{"message": URL, "data": None}]},
        }
        self.assertNotIn("secret", repr(self.scrub(event)))
        self.assertIn("ValueError", repr(self.scrub(event)))

    def test_given_secrets(self) -> None:
        text = "login pass failed: passport"
        found = self.scrub({"message": text}, "pass", "", "passport")
        self.assertEqual(found, {"message": f"login {REMOVED} failed: {REMOVED}"})

    def test_structure_is_left_alone(self) -> None:
        event = {"event_id": "a1b2", "timestamp": 1.5, "level": "error", "ok": True, "no": None}
        self.assertEqual(self.scrub(event, "a1", "error"), event)

    def test_argument_is_left_alone(self) -> None:
        event = {"message": URL, "list": [URL]}
        self.scrub(event)
        self.assertEqual(event, {"message": URL, "list": [URL]})


class StartTests(SynchronousTestCase):
    def test_malformed_dsn(self) -> None:
        self.assertRaises(ValueError, sentry.start, "nonsense", "upparat@1")

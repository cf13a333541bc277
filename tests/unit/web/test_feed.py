"""The events of the page: changes, slow clients and many clients."""

from __future__ import annotations

from tests.unit.control.bench import RUNNING
from tests.unit.web.bench import Client, WebBench
from upparat.control.desk import FOLLOW_INTERVAL, REFRESH_INTERVAL
from upparat.web.channel import REQUEST_TIMEOUT
from upparat.web.feed import MAX_STREAMS, QUIET, TICK


class FeedTests(WebBench):
    def events(self, client: Client) -> list[str]:
        """The events since the last time."""
        found = client.heard().decode().split("data: ")[1:]
        return [each.partition("\n")[0] for each in found]

    def watcher(self) -> Client:
        return self.client().asks("/events")

    def test_the_first_event_comes_at_once(self) -> None:
        client = self.watcher()
        code, headers, body = client.answer()
        self.assertEqual((code, headers["content-type"]), (200, "text/event-stream"))
        self.assertIn(b"data: <main data-title=", body)
        self.assertFalse(client.closed)

    def test_a_change(self) -> None:
        client, other = self.watcher(), self.watcher()
        self.assertEqual((len(self.events(client)), len(self.events(other))), (1, 1))
        self.agent.state = "download"
        self.clock.advance(FOLLOW_INTERVAL)
        for each in (client, other):
            [event] = self.events(each)
            self.assertIn("device-1: download", event)

    def test_time_goes_on(self) -> None:
        self.agent.hook = RUNNING
        client = self.watcher()
        self.events(client)
        self.clock.advance(TICK)
        [event] = self.events(client)
        self.assertIn("for 13 s of 1 h", event)

    def test_nothing_changes(self) -> None:
        """No event comes twice, but the client is looked after."""
        self.agent.connection = type(self.agent.connection)(seconds=86_400.0 * 2)
        client = self.watcher()
        client.heard()
        for _ in range(int(QUIET / FOLLOW_INTERVAL)):
            self.clock.advance(FOLLOW_INTERVAL)
        self.assertIn(b":\n\n", client.heard())

    def test_it_lasts(self) -> None:
        client = self.watcher()
        for _ in range(100):
            self.clock.advance(REFRESH_INTERVAL)
        self.assertFalse(client.closed)

    def test_many(self) -> None:
        clients = [self.watcher() for _ in range(MAX_STREAMS)]
        self.assertEqual(self.watcher().code, 503)
        clients[0].leaves()
        self.assertEqual(self.watcher().code, 200)

    def test_nobody_is_left(self) -> None:
        clients = [self.watcher(), self.watcher()]
        for client in clients:
            client.leaves()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.events(self.watcher())), 1)

    def test_one_that_never_reads(self) -> None:
        client, other = self.watcher(), self.watcher()
        client.stops_reading()
        client.heard()
        for number in range(int(REQUEST_TIMEOUT / FOLLOW_INTERVAL) + 1):
            self.assertFalse(client.dropped)
            self.agent.state = f"state {number}"
            self.clock.advance(FOLLOW_INTERVAL)
        self.assertEqual(self.events(client), [])
        self.assertTrue(client.dropped)
        self.assertFalse(other.closed)

    def test_one_that_reads_late(self) -> None:
        """It gets the newest event alone."""
        client = self.watcher()
        client.stops_reading()
        client.heard()
        for state in ("download", "install"):
            self.agent.state = state
            self.clock.advance(FOLLOW_INTERVAL)
        client.reads_on()
        [event] = self.events(client)
        self.assertIn("device-1: install", event)
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertFalse(client.closed)

    def test_a_status_that_cannot_be_made(self) -> None:
        client = self.watcher()
        self.agent.connection = None  # type: ignore[assignment]
        self.clock.advance(FOLLOW_INTERVAL)
        self.assertTrue(client.dropped)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

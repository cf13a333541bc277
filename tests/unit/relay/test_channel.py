"""The bounds of connections and requests."""

from __future__ import annotations

from tests.unit.relay.bench import first
from tests.unit.relay.served import ServedBench
from upparat.relay.channel import IDLE, MAX_CONNECTIONS


class BoundsTests(ServedBench):
    def test_so_many_connections(self) -> None:
        hooks = [self.hook() for _ in range(MAX_CONNECTIONS)]
        self.assertTrue(self.hook().refused)
        hooks[0].lose()
        self.assertFalse(self.hook().refused)

    def test_a_connection_that_asks_nothing(self) -> None:
        hook = self.hook()
        self.memory.advance(IDLE)
        self.assertTrue(hook.transport.disconnecting)

    def test_one_that_waits_for_its_answer(self) -> None:
        """The agent may try for long."""
        self.answers = [ConnectionError(), first()]
        hook = self.asks("HEAD")
        self.memory.advance(IDLE * 2)
        self.assertFalse(hook.transport.disconnecting)
        self.reactor.advance(100)
        self.assertEqual(hook.code, 200)

    def test_a_body(self) -> None:
        hook = self.hook()
        hook.sends(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx")
        self.assertTrue(hook.dropped)

    def test_a_fault_of_the_agent(self) -> None:
        self.patch(self.factory, "_answer", self.broken)
        self.assertTrue(self.asks().dropped)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def broken(self, request: object) -> None:
        raise ZeroDivisionError

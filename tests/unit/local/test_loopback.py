"""Servers on the loopback interface only."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.local import loopback

EVERYWHERE = "0.0.0.0"  # noqa: S104


class Loopback(SynchronousTestCase):
    def test_the_address_is_replaced(self) -> None:
        seen: list[object] = []
        create = loopback.on_loopback(lambda *args, **named: seen.append((args, named)))
        create("loop", "factory", host=EVERYWHERE, port=1)
        create("loop", "factory", EVERYWHERE, 2)
        self.assertEqual(
            seen,
            [
                (("loop", "factory", "127.0.0.1"), {"port": 1}),
                (("loop", "factory", "127.0.0.1", 2), {}),
            ],
        )

    def test_a_socket_that_is_bound_already_keeps_its_address(self) -> None:
        seen: list[object] = []
        create = loopback.on_loopback(lambda *args, **named: seen.append((args, named)))
        create("loop", "factory", sock="socket")
        self.assertEqual(seen, [(("loop", "factory", None), {"sock": "socket"})])

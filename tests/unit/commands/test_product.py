"""``--product`` takes what a device can have."""

from __future__ import annotations

import argparse

from twisted.trial.unittest import SynchronousTestCase

from upparat.commands.product import product


class ProductTests(SynchronousTestCase):
    def test_products(self) -> None:
        self.assertEqual(product("board A"), "board A")
        for text in ("", " A", "A\nB", "é"):
            self.assertRaises(argparse.ArgumentTypeError, product, text)

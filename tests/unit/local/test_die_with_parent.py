"""A command that is tied to the life of its parent."""

from __future__ import annotations

import ctypes
import os
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from upparat.local import die_with_parent


class Tether(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[object] = []
        libc = SimpleNamespace(prctl=lambda *args: self.calls.append(("prctl", *args)))
        self.patch(ctypes, "CDLL", lambda *_, **__: libc)
        self.patch(os, "execv", lambda *args: self.calls.append(("execv", *args)))

    def test_it_becomes_the_command_once_it_is_tied(self) -> None:
        die_with_parent.main([str(os.getppid()), "/bin/x", "y"])
        self.assertEqual(self.calls, [("prctl", 1, 9), ("execv", "/bin/x", ["/bin/x", "y"])])

    def test_a_parent_that_has_gone_meanwhile_is_noticed(self) -> None:
        self.assertRaises(SystemExit, die_with_parent.main, [str(os.getpid()), "/bin/x"])
        self.assertEqual(self.calls, [("prctl", 1, 9)])

    def test_the_command_line_names_this_process_as_the_parent(self) -> None:
        words = die_with_parent.dying_with_parent(["/bin/x", "y"])
        self.assertEqual(
            words[1:], ["-m", "upparat.local.die_with_parent", str(os.getpid()), "/bin/x", "y"]
        )

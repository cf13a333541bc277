"""The MiniStack process: its environment and its log."""

from __future__ import annotations

import os
from unittest import mock

from upparat.local import ministack

from .bench import Base


class Start(Base):
    def test_nothing_of_the_users_own_settings_reaches_it(self) -> None:
        names = ("AWS_PROFILE", "MINISTACK_HOST", "COVERAGE_PROCESS_CONFIG", "PERSIST_STATE")
        with mock.patch.dict(os.environ, dict.fromkeys(names, "1")):
            environment = ministack.MiniStack(self.directory)._environment(self.directory)
        self.assertEqual([name for name in names[:3] if name in environment], [])
        self.assertEqual(environment["PERSIST_STATE"], "0")
        self.assertEqual(environment["TMPDIR"], str(self.directory))
        self.assertEqual(environment["AUTH"], "true")

    def test_the_tail_of_a_log(self) -> None:
        log = self.directory / "log"
        self.assertEqual(ministack.tail(log), "")
        log.write_bytes(b"1\n2\xff\n3\n")
        self.assertEqual(ministack.tail(log, 2), "2\ufffd\n3")

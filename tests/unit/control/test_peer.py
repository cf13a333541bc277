"""Who is at the other end of a socket."""

from __future__ import annotations

import os
import socket

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from upparat.control.peer import Credentials, credentials


class CredentialsTests(SynchronousTestCase):
    def test_the_kernel_knows(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(theirs.close)
        transport = StringTransport()
        transport.socket = ours  # type: ignore[attr-defined]
        expected = Credentials(os.getpid(), os.geteuid(), os.getegid())
        self.assertEqual(credentials(transport), expected)
        ours.close()
        self.assertRaises(OSError, credentials, transport)

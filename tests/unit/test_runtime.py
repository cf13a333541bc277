"""The default of the control socket, and the paths that a socket can have."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.runtime import MAX_PATH, default_socket, socket_path


class DefaultSocketTests(SynchronousTestCase):
    def test_root(self) -> None:
        self.patch(os, "geteuid", lambda: 0)
        self.assertEqual(default_socket({}), Path("/run/upparat/control.sock"))

    def test_others(self) -> None:
        self.patch(os, "geteuid", lambda: 1000)
        found = default_socket({"XDG_RUNTIME_DIR": "/run/user/1000"})
        self.assertEqual(found, Path("/run/user/1000/upparat/control.sock"))
        for environ in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "relative"}):
            self.assertIsNone(default_socket(environ))


class SocketPathTests(SynchronousTestCase):
    def test_the_longest_path(self) -> None:
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
            path = directory + "/" + "x" * (MAX_PATH - len(directory) - 1)
            server.bind(str(socket_path(path)))
        self.assertRaises(ValueError, socket_path, path + "x")

    def test_bytes_count(self) -> None:
        self.assertRaises(ValueError, socket_path, "/" + "ä" * (MAX_PATH // 2 + 1))

    def test_a_nul_character(self) -> None:
        self.assertRaises(ValueError, socket_path, "/run/\0")

    def test_off(self) -> None:
        self.assertIsNone(socket_path("Off"))

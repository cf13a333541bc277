"""Calls of the C library, on real files."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest, mock

from twisted.trial.unittest import SynchronousTestCase

from upparat import linux as libc
from upparat.linux import begin_writing, give_back_memory, read_boot_id, reserve, share_memory

MIB = 1 << 20


class FileCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.fd)

    @property
    def allocated(self) -> int:
        return os.fstat(self.fd).st_blocks * 512


class ReserveTests(FileCase):
    def test_room_without_length(self) -> None:
        os.write(self.fd, b"abc")
        reserve(self.fd, 3, MIB)
        self.assertEqual(self.path.read_bytes(), b"abc")
        self.assertGreaterEqual(self.allocated, MIB)

    def test_again(self) -> None:
        reserve(self.fd, 0, MIB)
        allocated = self.allocated
        reserve(self.fd, 0, MIB)
        self.assertEqual(self.allocated, allocated)

    def test_nothing_to_set_aside(self) -> None:
        reserve(self.fd, 3, 3)
        reserve(self.fd, 3, 0)
        self.assertEqual(self.allocated, 0)

    def test_more_than_a_file_can_have(self) -> None:
        with self.assertRaises(OSError) as caught:
            reserve(self.fd, 0, 1 << 62)
        self.assertEqual(caught.exception.errno, errno.EFBIG)

    def test_what_cannot_be_does_no_harm(self) -> None:
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        reserve(write, 0, MIB)  # ESPIPE
        with mock.patch.object(libc, "_function", return_value=None):
            reserve(self.fd, 0, MIB)
        self.assertEqual(self.allocated, 0)


class WritingTests(FileCase):
    def test_nothing_is_changed(self) -> None:
        os.write(self.fd, bytes(MIB))
        begin_writing(self.fd, 0, MIB)
        self.assertEqual(self.path.read_bytes(), bytes(MIB))

    def test_the_bytes_it_is_told(self) -> None:
        call = mock.Mock(return_value=-1)
        with mock.patch.object(libc, "_function", return_value=call):
            begin_writing(5, 3 << 32, 4 << 32)
        call.assert_called_once_with(5, 3 << 32, 1 << 32, 2)

    def test_a_system_that_cannot(self) -> None:
        with mock.patch.object(libc, "_function", return_value=None):
            begin_writing(self.fd, 0, MIB)


class MemoryTests(SynchronousTestCase):
    def test_it_is_given_back(self) -> None:
        """In a process of its own, with a heap that nothing else has cut up."""
        result = subprocess.run([sys.executable, "-c", GIVE_BACK], capture_output=True, check=True)
        before, after = map(int, result.stdout.split())
        self.assertLess(after, before - 4 * MIB // resource.getpagesize())

    def test_a_system_that_cannot(self) -> None:
        with mock.patch.object(libc, "_function", return_value=None):
            give_back_memory()


GIVE_BACK = """
from upparat.linux import give_back_memory

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])

blocks = [bytes(1000) for _ in range(8000)]
last = bytes(1000)  # without it the end of the heap would shrink by itself
del blocks
before = resident()
give_back_memory()
print(before, resident())
"""


class ShareMemoryTests(SynchronousTestCase):
    def test_few_arenas(self) -> None:
        """glibc itself counts them: it names each."""
        if libc._function("malloc_stats") is None:
            raise SkipTest("this C library has no arenas")
        result = subprocess.run([sys.executable, "-c", SHARE], capture_output=True, check=True)
        self.assertEqual(result.stderr.count(b"Arena "), 3, result.stderr)


SHARE = """
import ctypes, threading
from upparat.linux import share_memory

share_memory()
together = threading.Barrier(6)

def work():
    together.wait()
    piece = bytes(100_000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


class FunctionTests(SynchronousTestCase):
    def test_what_is_there_and_what_is_not(self) -> None:
        self.assertIsNotNone(libc._function("fallocate"))
        self.assertIsNone(libc._function("upparat_has_no_such_call"))

    def test_a_python_without_ctypes(self) -> None:
        with mock.patch.dict(sys.modules, {"ctypes": None}):
            self.assertIsNone(libc._function.__wrapped__("fallocate"))

    def test_a_python_that_can_load_no_library(self) -> None:
        """A statically linked one has no dlopen; a hardened system may forbid its memory."""
        for error in (OSError("Dynamic loading not supported"), MemoryError(), SystemError()):
            with mock.patch("ctypes.CDLL", side_effect=error):
                self.assertIsNone(libc._function.__wrapped__("fallocate"))

    def test_a_ctypes_that_cannot_be_imported(self) -> None:
        """Its import calls the library already."""
        broken = mock.Mock(spec=[])
        with mock.patch.dict(sys.modules, {"ctypes": broken}):
            self.assertIsNone(libc._function.__wrapped__("fallocate"))
        for error in (OSError("no libc"), MemoryError()):
            with mock.patch("builtins.__import__", side_effect=error):
                self.assertIsNone(libc._function.__wrapped__("fallocate"))


class FailingCallTests(FileCase):
    """What makes things faster never fails."""

    def call_all(self) -> None:
        reserve(self.fd, 0, MIB)
        begin_writing(self.fd, 0, MIB)
        give_back_memory()
        share_memory()

    def test_without_ctypes(self) -> None:
        for error in (OSError("Dynamic loading not supported"), MemoryError()):
            with (
                mock.patch("ctypes.CDLL", side_effect=error),
                mock.patch.object(libc, "_function", libc._function.__wrapped__),
            ):
                self.call_all()
        self.assertEqual(self.allocated, 0)

    def test_a_call_that_raises(self) -> None:
        for error in (OSError(errno.ENOSPC, "full"), ValueError("argument"), MemoryError()):
            call = mock.Mock(side_effect=error)
            with mock.patch.object(libc, "_function", return_value=call):
                self.call_all()
            self.assertEqual(call.call_count, 4)

    def test_a_call_that_reports_an_error(self) -> None:
        call = mock.Mock(return_value=-1)
        for number in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO, errno.EBADF):
            with (
                mock.patch.object(libc, "_function", return_value=call),
                mock.patch.object(libc, "_errno", return_value=number),
            ):
                self.call_all()

    def test_only_a_lack_of_room_is_raised(self) -> None:
        call = mock.Mock(return_value=-1)
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            with (
                mock.patch.object(libc, "_function", return_value=call),
                mock.patch.object(libc, "_errno", return_value=number),
            ):
                begin_writing(self.fd, 0, MIB)
                give_back_memory()
                with self.assertRaises(OSError) as caught:
                    reserve(self.fd, 0, MIB)
            self.assertEqual(caught.exception.errno, number)


class DurableTests(SynchronousTestCase):
    def test_the_boot_of_this_machine(self) -> None:
        self.assertEqual(len(read_boot_id()), 36)
        self.assertEqual(read_boot_id(), read_boot_id())

    def test_no_boot_id(self) -> None:
        self.assertEqual(read_boot_id(Path(self.mktemp())), "")

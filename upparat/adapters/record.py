"""The ``Record`` port: one small JSON file that is replaced atomically."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from twisted.logger import Logger

from upparat.job import Key
from upparat.ports import Memory, Record

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""A random id that Linux makes at every boot (man 5 proc_sys_kernel)."""

SCHEMA = 1
"""The format of the file; a record of another format is set aside."""


class FileRecord:
    """The record in a file of ``directory``, which is made when it is needed.

    A record that cannot be written is logged and not fatal: the status details alone lead to a
    sound end as well.
    """

    log = Logger()

    def __init__(self, directory: Path, boot_id: Path = BOOT_ID) -> None:
        self._path = directory / "record.json"
        self._boot_id = _read_boot_id(boot_id)

    def working(self, key: Key) -> None:
        self._save(key, restarting=False)

    def restarting(self, key: Key) -> None:
        self._save(key, restarting=True)

    def clear(self) -> None:
        with self._logged("removed"):
            self._path.unlink(missing_ok=True)
            _sync_directory(self._path.parent)

    def load(self) -> Memory | None:
        """What was saved, or ``None``; a file that makes no sense is set aside."""
        try:
            return self._parse(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            self.log.error("The record cannot be read: {error}", error=str(error))
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.log.error("The record makes no sense and is set aside: {error!r}", error=error)
            with self._logged("set aside"):
                self._path.replace(self._path.with_suffix(".bad"))
            return None

    def _parse(self, content: bytes) -> Memory:
        data = json.loads(content)
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}")
        return Memory(
            key=Key(str(data["job_id"]), int(data["execution_number"]), int(data["queued_at"])),
            restarting=data["restarting"] is True,
            same_boot=bool(self._boot_id) and data["boot_id"] == self._boot_id,
        )

    def _save(self, key: Key, *, restarting: bool) -> None:
        data = {
            "schema": SCHEMA,
            "job_id": key.job_id,
            "execution_number": key.number,
            "queued_at": key.queued_at,
            "restarting": restarting,
            "boot_id": self._boot_id,
        }
        with self._logged("written"):
            _replace(self._path, json.dumps(data).encode())

    @contextlib.contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            self.log.error("The record cannot be {what}: {error}", what=what, error=str(error))


def _read_boot_id(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _replace(path: Path, content: bytes) -> None:
    """Replace a file so that a power cut leaves the old content or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_port(record: FileRecord) -> Record:
    return record

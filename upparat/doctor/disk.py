"""The step that tries the directories of the agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from upparat.private import NotPrivate, PrivateDirectory

from .examination import Examination
from .finding import Finding, failed, ok, warning
from .mounts import MOUNTINFO, Mount, mount_of
from .waiting import within

SCRATCH = "doctor.scratch"
"""A file that is written, replaced, synced and removed; the agent has none of this name."""

MEBIBYTE = 1024 * 1024

LEAST_STATE = 1 * MEBIBYTE
"""Bytes that the record needs at the very most."""

LEAST_DOWNLOADS = 16 * MEBIBYTE
"""Bytes with less of which hardly any firmware fits."""


def examine(examination: Examination) -> Iterator[Finding]:
    """Two findings: one for each directory."""
    service = examination.settings.service
    wanted = (
        ("state_dir", service.state_dir, LEAST_STATE, True),
        ("download_location", service.download_location, LEAST_DOWNLOADS, False),
    )
    for name, path, least, lasting in wanted:
        judge = partial(judge_directory, name, path, least, lasting=lasting)
        try:
            yield within(examination.seconds(examination.limits.disk), judge)
        except TimeoutError as error:
            yield failed(name, f"the disk of {path} hangs: {error.strerror}", "See dmesg")


def judge_directory(
    name: str, path: Path, least: int, *, lasting: bool = False, mountinfo: Path = MOUNTINFO
) -> Finding:
    """Try a directory as the agent uses it.

    :param least: bytes of free space that it should have.
    :param lasting: whether it must survive a reboot.
    """
    existing = next(each for each in (path, *path.parents) if each.exists())
    mount = mount_of(path, mountinfo)
    bad = _owned(name, path, existing) or _written(name, path, existing, mount)
    if bad:
        return bad
    if scarce := judge_space(name, existing, least, os.statvfs(existing)):
        return scarce
    if lasting and mount and mount.volatile:
        meaning = f"{path} is on {mount.kind}: a reboot forgets the update in hand"
        return warning(name, meaning, f"Set [service] {name} to a directory on a disk")
    return ok(name, _good(path, existing, mount))


def _good(path: Path, existing: Path, mount: Mount | None) -> str:
    kind = f" on {mount.kind}" if mount else ""
    if existing != path:
        return f"{path}{kind} is made when the agent starts"
    return f"{path}{kind} belongs to the agent, and can be written to and synced"


def _owned(name: str, path: Path, existing: Path) -> Finding | None:
    """The finding for a directory that others could change."""
    try:
        PrivateDirectory(path).check()
    except NotPrivate as problem:
        what, _, remedy = str(problem).partition("; mend it with: ")
        return failed(name, f"{what}: the agent does not start", _for_owner(remedy, existing))
    except OSError as error:
        return failed(name, f"{path}: {error.strerror}", "Mend the directory")
    return None


def _for_owner(remedy: str, existing: Path) -> str:
    """Root may have asked in the place of the agent's user."""
    owner = existing.stat().st_uid
    if owner == os.geteuid():
        return f"Type: {remedy}"
    return f"Run doctor as the user of the agent; if this is that user, type: {remedy}"


def _written(name: str, path: Path, existing: Path, mount: Mount | None) -> Finding | None:
    """The finding for a directory that cannot be written to."""
    try:
        if existing == path:
            _try_scratch(path)
        elif not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(0, "it cannot be made")
    except OSError as error:
        read_only = mount is not None and "ro" in mount.options
        remedy = f"Mount {mount.point} for writing" if read_only and mount else "See the reason"
        return failed(name, f"{path} cannot be used: {error.strerror}", remedy)
    return None


def _try_scratch(path: Path) -> None:
    """Write, sync and rename as the agent does with its record."""
    directory = PrivateDirectory(path)
    name = f"{SCRATCH}-{os.getpid()}"
    try:
        directory.replace(name, b"doctor\n")
    finally:
        directory.remove(f"{Path(name).stem}.new")
        directory.remove(name)


def judge_space(name: str, existing: Path, least: int, found: os.statvfs_result) -> Finding | None:
    """The finding for a disk that is nearly full."""
    free = found.f_bavail * found.f_frsize
    if free < least:
        meaning = f"{existing} has only {free // 1024} KiB left"
        return warning(name, meaning, "Make room, or choose another disk")
    if found.f_files and not found.f_favail:
        return warning(name, f"{existing} can hold no more files", "Remove files that nobody needs")
    return None

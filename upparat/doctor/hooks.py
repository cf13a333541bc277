"""The step that looks whether Linux can run each hook. It runs none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .elf import MAGIC, linker_of
from .examination import Examination
from .finding import Finding, failed, ok, skipped
from .mounts import MOUNTINFO, mount_of

HEAD = 256
"""Bytes of a script in which Linux looks for its interpreter."""

_MARK = b"\xef\xbb\xbf"


def examine(examination: Examination) -> Iterator[Finding]:
    """One finding for each hook of the configuration."""
    commands = examination.settings.hooks.commands
    if not commands:
        yield skipped("hooks", "no hook is configured")
    for hook, command in commands.items():
        yield judge_hook(f"hook {hook}", command[0])


def judge_hook(name: str, executable: str, mountinfo: Path = MOUNTINFO) -> Finding:
    """Find out whether the executable of a hook can be run.

    :param executable: its absolute path, or a name that the agent did not find.
    """
    path = Path(executable)
    try:
        problem, remedy = _problem(path, mountinfo)
    except OSError as error:
        problem, remedy = f"cannot be read: {error.strerror}", f"Make {path} readable"
    if problem:
        return failed(name, f"{path} {problem}", remedy)
    return ok(name, f"{path} can be run")


def _problem(path: Path, mountinfo: Path) -> tuple[str, str]:
    """What keeps Linux from running a file, and the remedy; two empty texts if nothing does."""
    if not path.is_file():
        return "was not found", "Put the hook there, or mend the option"
    mount = mount_of(path, mountinfo)
    if mount and "noexec" in mount.options:
        where = f"is on {mount.point}, which is mounted with noexec"
        return where, "Move the hook, or mount without noexec"
    if not os.access(path, os.X_OK):
        return "is not executable", f"chmod +x {path}"
    with path.open("rb") as stream:
        return _content_problem(path, stream.read(HEAD))


def _content_problem(path: Path, head: bytes) -> tuple[str, str]:
    if head.startswith(MAGIC):
        return _linker_problem(linker_of(path))
    if head.startswith(_MARK):
        return "begins with a byte order mark", "Save it as UTF-8 without a byte order mark"
    if not head.startswith(b"#!"):
        return "is neither a program nor a script", "Begin the script with #!/bin/sh"
    line = head[2:].partition(b"\n")[0]
    if line.endswith(b"\r"):
        return "has lines that end with CRLF", f"Type: sed -i 's/\\r$//' {path}"
    return _interpreter_problem(os.fsdecode(line).split())


def _linker_problem(linker: str) -> tuple[str, str]:
    if not linker or os.path.isfile(linker):
        return "", ""
    missing = f"needs the linker {linker}, which is not there"
    return missing, "Build the hook for this device and its C library"


def _interpreter_problem(words: list[str]) -> tuple[str, str]:
    if not words:
        return "names no interpreter after #!", "Begin the script with #!/bin/sh"
    interpreter = words[0]
    if not os.access(interpreter, os.X_OK) or not os.path.isfile(interpreter):
        missing = f"needs {interpreter}, which cannot be run"
        return missing, "Install the interpreter, or name another one"
    if os.path.basename(interpreter) == "env":
        return _searched_problem(words[1:])
    return "", ""


def _searched_problem(words: list[str]) -> tuple[str, str]:
    """The problem of the interpreter that ``env`` looks for."""
    names = [word for word in words if not word.startswith("-") and "=" not in word]
    if names and shutil.which(names[0]) is None:
        missing = f"needs {names[0]}, which is not in PATH"
        return missing, "Install the interpreter, or name it by its path"
    return "", ""

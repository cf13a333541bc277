"""The device's memory: one small JSON file that is replaced atomically."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar, get_type_hints

from twisted.logger import Logger

from upparat.job import ExecutionKey, Hook, JobExecution, Report, State, Status
from upparat.linux import BOOT_ID, read_boot_id, sync_directory
from upparat.ports import Installation, Memory, Record, Stage

SCHEMA = 1
"""The format of the file; a record of another format is set aside."""

_STATES = {state.value: state for state in State}

_VERIFIED = {
    State.COMPLETE_READY.value,
    State.COMPLETE_SOFT_RESTART.value,
    State.COMPLETE_NO_READY_CHECK.value,
}
"""Successes by what the hooks have said of the version that runs."""

_DOUBTED = {*_VERIFIED, State.VERSION_ALREADY_INSTALLED.value}
"""Successes that are not true any more if the device has fallen back to another version."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Update:
    """The update in hand."""

    job_id: str
    execution_number: int
    queued_at: int
    restarting: bool = False
    restarts: int = 0
    restarted: bool = False
    waiting: bool = False

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.job_id, self.execution_number, self.queued_at)


@dataclass(frozen=True)
class _Installation:
    """An installation that is not confirmed yet."""

    version: str
    stage: str

    def installation(self) -> Installation:
        return Installation(self.version, Stage(self.stage))


@dataclass(frozen=True)
class _Tries:
    """The runs of a hook that is not over yet, for the update in hand; times are in seconds.

    ``elapsed``: from the first call to the last one. ``first``: the monotonic clock at the first
    call, which goes on within one boot.
    """

    hook: str
    retry: int
    elapsed: float
    first: float
    boot_id: str


@dataclass(frozen=True)
class _Debt:
    """A report that ends an execution and that AWS has not accepted yet."""

    job_id: str
    execution_number: int
    queued_at: int
    version_number: int
    state: str
    message: str

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.job_id, self.execution_number, self.queued_at)

    def report(self) -> tuple[JobExecution, Report]:
        execution = JobExecution(self.key, Status.IN_PROGRESS, self.version_number)
        return execution, Report(_STATES[self.state], self.message)


@dataclass(frozen=True)
class _Content:
    boot_id: str
    update: _Update | None = None
    tries: tuple[_Tries, ...] = field(default=())
    owed: tuple[_Debt, ...] = field(default=())
    installation: _Installation | None = None

    @property
    def empty(self) -> bool:
        return self.update is None and not self.owed and self.installation is None


class FileRecord:
    """The record in a file of ``directory``, which is made when it is needed.

    A record that cannot be written is logged and not fatal: the status details alone lead to a
    sound end as well.
    """

    log = Logger()

    def __init__(
        self,
        directory: Path,
        boot_id: Path = BOOT_ID,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = directory / "record.json"
        self._monotonic = monotonic
        self._boot_id = read_boot_id(boot_id)
        self._content = _Content(self._boot_id)

    # --- the port ---

    def working(self, key: ExecutionKey) -> None:
        self._save(update=_Update(*key), tries=self._tries(key))

    def restarting(self, key: ExecutionKey) -> bool:
        update = self._update(key)
        # A run that has asked for another one later was not cut short, so it does not count.
        restarts = update.restarts + (0 if update.waiting else 1)
        return self._save(update=_Update(*key, restarting=True, restarts=restarts))

    def restarted(self, key: ExecutionKey) -> None:
        self._save(update=replace(self._update(key), restarting=True, restarted=True))

    def clear(self) -> None:
        self._save(update=None, tries=())

    def unconfirmed(self) -> Installation | None:
        found = self._content.installation
        return None if found is None else found.installation()

    def note_installation(self, installation: Installation | None) -> None:
        noted = installation and _Installation(installation.version, installation.stage.value)
        if noted != self._content.installation:
            self._save(installation=noted)

    # --- the journal of hooks ---

    def tries(self, key: ExecutionKey, hook: Hook) -> tuple[int, float] | None:
        """The retry count of the run that was begun last, and the seconds since the first."""
        tries = next((each for each in self._tries(key) if each.hook == hook.value), None)
        if tries is None:
            return None
        if tries.boot_id == self._boot_id:
            return tries.retry, max(tries.elapsed, self._monotonic() - tries.first)
        return tries.retry, tries.elapsed

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        """A run of the hook begins, for the update in hand."""
        if self._content.update is None or self._content.update.key != key:
            return
        first = self._monotonic() - elapsed
        tries = _Tries(hook.value, retry, float(elapsed), first, self._boot_id)
        update = self._content.update
        if hook is Hook.RESTART:
            update = replace(update, waiting=False)
        self._content = replace(self._content, update=update)
        self._save(tries=(*self._tries_of_others(hook), tries))

    def waiting(self, key: ExecutionKey, hook: Hook) -> None:
        """A run has asked for another one later: a restart hook has restarted nothing."""
        if hook is Hook.RESTART:
            self._save(update=replace(self._update(key), restarting=True, waiting=True))

    def over(self, key: ExecutionKey, hook: Hook) -> None:
        """Forget its runs."""
        others = self._tries_of_others(hook)
        if others != self._content.tries:
            self._save(tries=others)

    def left(self, key: ExecutionKey) -> None:
        """The agent is stopped in an orderly way while the restart hook runs: this is the restart,
        though nobody will see the hook's end."""
        self.restarted(key)

    # --- the undelivered reports ---

    def add(self, execution: JobExecution, report: Report) -> None:
        """Remember this report; it must be delivered, even after a restart."""
        debt = _Debt(
            *execution.key,
            version_number=execution.version_number,
            state=report.state.value,
            message=report.details["message"],
        )
        self._save(owed=(*self._others(execution.key), debt))

    def remove(self, key: ExecutionKey) -> None:
        """Forget the report on this execution: AWS has it, or it is given up."""
        others = self._others(key)
        if others != self._content.owed:
            self._save(owed=others)

    # --- the start ---

    def load(self) -> Memory | None:
        """What was saved, or ``None``; a file that makes no sense is set aside."""
        self._content = self._read()
        verified = self._doubt_success()
        update = self._content.update
        if update is not None and update.key in {debt.key for debt in self._content.owed}:
            self._content = replace(self._content, update=None, tries=())  # it has ended
            return None
        if update is None:
            return None
        same_boot = bool(self._boot_id) and self._content.boot_id == self._boot_id
        return Memory(
            key=update.key,
            restart_accepted=update.restarting,
            same_boot=same_boot,
            restart_attempts=update.restarts,
            restart_done=update.restarted,
            restart_waiting=update.waiting,
            verified=update.key == verified,
        )

    def _doubt_success(self) -> ExecutionKey | None:
        """Take back the last success, if an earlier agent could not deliver it: the device may have
        fallen back since. Returns the execution whose installation has to be verified again."""
        *owed, last = self._content.owed or (None,)
        update = self._content.update
        if last is None or last.state not in _DOUBTED:
            return None
        if update is not None and update.key != last.key:  # the agent has gone on since
            return None
        verified = last.key if last.state in _VERIFIED else None
        again = verified and _Update(*verified, restarting=True, restarts=1, restarted=True)
        self._content = replace(self._content, owed=tuple(owed), update=again, tries=())
        return verified

    def owed(self) -> list[tuple[JobExecution, Report]]:
        """The reports that are still to be delivered, oldest first; valid after :meth:`load`."""
        return [debt.report() for debt in self._content.owed]

    # --- the file ---

    def _read(self) -> _Content:
        try:
            return _parse(self._path.read_bytes())
        except FileNotFoundError:
            pass
        except OSError as error:
            self.log.error("The record cannot be read: {error}", error=str(error))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.log.error("The record makes no sense and is set aside: {error!r}", error=error)
            with self._logged("set aside"):
                self._path.replace(self._path.with_suffix(".bad"))
        return _Content(self._boot_id)

    def _save(self, **changes: object) -> bool:
        """Whether the file now says what it should, or nothing at all, which is as safe."""
        if "update" in changes:  # a debt says nothing of when the update was last worked on
            changes["boot_id"] = self._boot_id
        new = replace(self._content, **changes)  # type: ignore[arg-type]
        if new == self._content and new.empty:
            return True
        self._content = new
        if not new.empty:
            with self._logged("written"):
                _replace(self._path, json.dumps({"schema": SCHEMA, **asdict(new)}).encode())
                return True
        # What cannot be written must not be left as it was: an old record would have the restart
        # made up for, in every boot.
        with self._logged("removed"):
            _remove(self._path)
            return True
        return False

    def _update(self, key: ExecutionKey) -> _Update:
        update = self._content.update
        return update if update is not None and update.key == key else _Update(*key)

    def _tries(self, key: ExecutionKey) -> tuple[_Tries, ...]:
        update = self._content.update
        return self._content.tries if update is not None and update.key == key else ()

    def _tries_of_others(self, hook: Hook) -> tuple[_Tries, ...]:
        return tuple(each for each in self._content.tries if each.hook != hook.value)

    def _others(self, key: ExecutionKey) -> tuple[_Debt, ...]:
        return tuple(debt for debt in self._content.owed if debt.key != key)

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.log.error("The record cannot be {what}: {error}", what=what, error=str(error))


def _parse(content: bytes) -> _Content:
    data = json.loads(content)
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r}")
    update = data["update"]
    owed = tuple(_checked(_Debt, debt) for debt in data["owed"])
    for debt in owed:
        debt.report()
    installation = data.get("installation")
    if installation is not None:
        installation = _checked(_Installation, installation)
        installation.installation()
    return _Content(
        boot_id=str(data["boot_id"]),
        update=None if update is None else _checked(_Update, update),
        tries=tuple(_checked(_Tries, tries) for tries in data["tries"]),
        owed=owed,
        installation=installation,
    )


def _checked(kind: Callable[..., _T], values: object) -> _T:
    """A dataclass of plain values; a value of another type than its field is refused."""
    if not isinstance(values, dict):
        raise TypeError(f"{values!r} is no object")
    types = get_type_hints(kind)
    for name, value in values.items():
        if type(value) is not types[name]:
            raise TypeError(f"{name} is {value!r}")
    return kind(**values)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_directory(path.parent)


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
    sync_directory(path.parent)


def _is_port(record: FileRecord) -> Record:
    return record

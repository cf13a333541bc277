"""The record of the update in hand: one small JSON file that is replaced atomically.

An older and a newer agent read the same file: its keys keep their names, and unknown keys are
ignored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar, get_origin, get_type_hints

from twisted.logger import Logger

from upparat.job import ExecutionKey, Hook, Job, JobExecution, Report, State, Status
from upparat.linux import BOOT_ID, read_boot_id
from upparat.ports import Ending, Installation, Memory, Record, Rollback, Stage
from upparat.private import PrivateDirectory

NAME = "record.json"

BAD = "record.bad"
"""The name of a record that makes no sense."""

SCHEMA = 1
"""The format of the file. A record of another format is set aside."""

KEPT = 8
"""Versions whose installation is in doubt and that are remembered beside the last one, and
executions that another job has displaced."""

_NEW_IN_UPDATE = ("waiting", "replaced", "installs")
_NEW_IN_OWED = ("facts", "overtaken")
"""Keys that older agents do not know."""

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
    """The update in hand.

    ``installs``: the version whose install hook it has begun.
    """

    job_id: str
    execution_number: int
    queued_at: int
    restarting: bool = False
    restarts: int = 0
    restarted: bool = False
    waiting: bool = False
    replaced: str = ""
    installs: str = ""

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.job_id, self.execution_number, self.queued_at)

    def begun_again(self) -> _Update:
        """Return the update at its beginning, with what stays known of it."""
        return _Update(*self.key, replaced=self.replaced, installs=self.installs)


@dataclass(frozen=True)
class _Installation:
    """An installation that is not confirmed yet."""

    version: str
    stage: str

    def installation(self) -> Installation:
        return Installation(self.version, Stage(self.stage))


@dataclass(frozen=True)
class _Tries:
    """The runs of a hook that has not ended yet, for the update in hand.

    ``elapsed``: seconds between the starts of the first run and of the last one. ``first``: the
    monotonic clock at the start of the first run, in seconds; it counts within one boot.
    """

    hook: str
    retry: int
    elapsed: float
    first: float
    boot_id: str


@dataclass(frozen=True)
class _UndeliveredReport:
    """A report that ends an execution, and that AWS has not accepted yet.

    ``overtaken``: another installation was begun since.
    """

    job_id: str
    execution_number: int
    queued_at: int
    version_number: int
    state: str
    message: str
    facts: dict[str, str] = field(default_factory=dict)
    overtaken: bool = False

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.job_id, self.execution_number, self.queued_at)

    def report(self) -> tuple[JobExecution, Report]:
        execution = JobExecution(self.key, Status.IN_PROGRESS, self.version_number)
        if not all(isinstance(value, str) for value in self.facts.values()):
            raise TypeError(f"facts is {self.facts!r}")
        return execution, Report(_STATES[self.state], self.message, self.facts)


@dataclass(frozen=True)
class _Rollback:
    """How far the update in hand is taken back; ``state`` is empty if others have ended the job."""

    version: str
    state: str
    message: str
    facts: dict[str, str]
    hook_done: bool
    failed: bool
    restart: bool
    restarts: int
    restarted: bool

    @classmethod
    def of(cls, rollback: Rollback) -> _Rollback:
        state = rollback.state.value if rollback.state else ""
        return cls(**{**vars(rollback), "state": state, "facts": dict(rollback.facts)})

    def rollback(self) -> Rollback:
        return Rollback(**{**vars(self), "state": _STATES[self.state] if self.state else None})


@dataclass(frozen=True)
class _Ending:
    """An end whose cleanup hook has not come to its own end."""

    job_id: str
    execution_number: int
    queued_at: int
    version: str
    state: str
    message: str

    @classmethod
    def of(cls, end: _UndeliveredReport) -> _Ending:
        """Return the end of an update whose last report AWS does not have yet."""
        return cls(*end.key, end.facts.get("to", ""), end.state, end.message)

    def ending(self) -> Ending:
        key = ExecutionKey(self.job_id, self.execution_number, self.queued_at)
        job = Job(JobExecution(key, Status.IN_PROGRESS, 0), self.version, file="")
        return Ending(job, self.state, self.message)


@dataclass(frozen=True)
class _Left:
    """An execution that was left for another job when its install hook was begun.

    ``installs``: the version. ``displaced``: another one was installed or confirmed since.
    """

    job_id: str
    execution_number: int
    queued_at: int
    installs: str
    displaced: bool = False

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.job_id, self.execution_number, self.queued_at)


@dataclass(frozen=True)
class _Content:
    boot_id: str
    update: _Update | None = None
    tries: tuple[_Tries, ...] = field(default=())
    owed: tuple[_UndeliveredReport, ...] = field(default=())
    installation: _Installation | None = None
    doubted: tuple[_Installation, ...] = field(default=())
    rollback: _Rollback | None = None
    uncleaned: _Ending | None = None
    left: tuple[_Left, ...] = field(default=())

    @property
    def empty(self) -> bool:
        kept = (self.owed, self.installation, self.doubted, self.uncleaned, self.left)
        return self.update is None and not any(kept)


class FileRecord:
    """The record, in a file of ``directory``. The first write creates the directory.

    A failed write is logged and the update goes on, because the status details at AWS alone lead
    to a sound end as well.
    """

    log = Logger()

    def __init__(
        self,
        directory: Path,
        boot_id: Path = BOOT_ID,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = PrivateDirectory(directory)
        self._monotonic = monotonic
        self._boot_id = read_boot_id(boot_id)
        self._content = _Content(self._boot_id)
        self._kept = True

    # --- the port ---

    def working(self, key: ExecutionKey) -> None:
        update = self._update(key).begun_again()
        self._save(update=update, tries=self._tries(key), rollback=None)

    def restarting(self, key: ExecutionKey) -> bool:
        update = self._update(key)
        # A run that has asked for another one later was not cut short, so it does not count.
        restarts = update.restarts + (0 if update.waiting else 1)
        again = replace(update.begun_again(), restarting=True, restarts=restarts)
        return self._save(update=again)

    def restarted(self, key: ExecutionKey) -> None:
        self._save(update=replace(self._update(key), restarting=True, restarted=True))

    def rolling_back(self, key: ExecutionKey, rollback: Rollback) -> bool:
        update = replace(self._update(key).begun_again(), restarting=True)
        begun = self._content.rollback is not None
        tries = self._tries(key) if begun else ()
        return self._save(update=update, tries=tries, rollback=_Rollback.of(rollback))

    @property
    def kept(self) -> bool:
        return self._kept

    def cleaning(self, ending: Ending) -> None:
        job = ending.job
        uncleaned = _Ending(*job.key, job.version, ending.state, ending.message)
        self._save(update=None, tries=(), rollback=None, uncleaned=uncleaned)

    def uncleaned(self) -> Ending | None:
        ending = self._content.uncleaned
        return ending.ending() if ending is not None else None

    def clear(self) -> None:
        self._save(update=None, tries=(), rollback=None, uncleaned=None)

    def catch_up(self) -> None:
        if not self._kept:
            self._save()

    def note_replaced(self, version: str) -> None:
        if self._content.update is not None:
            update = replace(self._content.update, replaced=version)
            self._content = replace(self._content, update=update)

    def unconfirmed(self, version: str) -> Installation | None:
        for each in self._doubts():
            if each.version == version:
                return each.installation()
        return None

    def note_left(self, key: ExecutionKey) -> None:
        if self._left(key) is None:
            entry = _Left(*key, installs=self.installs(key))
            self._save(left=(*self._content.left, entry)[-KEPT:])

    def installs(self, key: ExecutionKey) -> str:
        return self._update(key).installs

    def displaced(self, key: ExecutionKey) -> bool:
        left = self._left(key)
        return left is not None and left.displaced

    def _left(self, key: ExecutionKey) -> _Left | None:
        return next((each for each in self._content.left if each.key == key), None)

    def note_installation(self, installation: Installation) -> None:
        noted = _Installation(installation.version, installation.stage.value)
        if installation.stage is Stage.INSTALLING:
            self._overtake(installation.version)
        elif noted == self._content.installation:
            return
        others = [each for each in self._doubts() if each.version != noted.version]
        self._save(installation=noted, doubted=tuple(others[-KEPT:]))

    def _overtake(self, version: str) -> None:
        """From now on the update in hand may run, in place of all others."""
        update = self._content.update
        if update is not None:
            self._forget_left(update.key)
            update = replace(update, installs=version)
        self._content = replace(
            self._content,
            update=update,
            owed=tuple(replace(entry, overtaken=True) for entry in self._content.owed),
            left=tuple(replace(each, displaced=True) for each in self._content.left),
        )

    def _forget_left(self, key: ExecutionKey) -> None:
        left = tuple(each for each in self._content.left if each.key != key)
        self._content = replace(self._content, left=left)

    def confirm(self, version: str) -> None:
        doubts = [each for each in self._doubts() if each.version != version]
        displaced = tuple(replace(each, displaced=True) for each in self._content.left)
        if len(doubts) < len(self._doubts()) or displaced != self._content.left:
            last = doubts.pop() if doubts else None
            self._save(installation=last, doubted=tuple(doubts), left=displaced)

    def _doubts(self) -> list[_Installation]:
        """What is installed and not confirmed, one entry for each version, the last one last."""
        last = self._content.installation
        return [*self._content.doubted, *([last] if last else [])]

    # --- the attempts of hooks ---

    def last_attempt(self, key: ExecutionKey, hook: Hook) -> tuple[int, float] | None:
        """Return the retry count of the last run, and the seconds since the start of the first."""
        tries = next((each for each in self._tries(key) if each.hook == hook.value), None)
        if tries is None:
            return None
        if tries.boot_id == self._boot_id:
            return tries.retry, max(tries.elapsed, self._monotonic() - tries.first)
        return tries.retry, tries.elapsed

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        """Remember that a run of the hook begins, if the execution is the update in hand."""
        if self._content.update is None or self._content.update.key != key:
            return
        first = self._monotonic() - elapsed
        tries = _Tries(hook.value, retry, float(elapsed), first, self._boot_id)
        update = self._content.update
        if hook is Hook.RESTART:
            update = replace(update, waiting=False)
        self._content = replace(self._content, update=update)
        self._save(tries=(*self._tries_of_other_hooks(hook), tries))

    def waiting(self, key: ExecutionKey, hook: Hook) -> None:
        """A run has asked for another one later: a restart hook has restarted nothing."""
        if hook is Hook.RESTART:
            self._save(update=replace(self._update(key), restarting=True, waiting=True))

    def over(self, key: ExecutionKey, hook: Hook) -> None:
        """Forget the runs of the hook."""
        others = self._tries_of_other_hooks(hook)
        if others != self._content.tries:
            self._save(tries=others)

    def left(self, key: ExecutionKey) -> None:
        """Remember the restart as done: the agent is stopped in an orderly way while the restart
        hook runs, and will not see the end of the hook."""
        self.restarted(key)

    # --- the undelivered reports ---

    def add(self, execution: JobExecution, report: Report) -> None:
        """Remember a report that must be delivered, even after a restart."""
        self._forget_left(execution.key)
        details = report.details
        entry = _UndeliveredReport(
            *execution.key,
            version_number=execution.version_number,
            state=details.pop("state"),
            message=details.pop("message"),
            facts=details,
        )
        self._save(owed=(*self._other_reports(execution.key), entry))

    def remove(self, key: ExecutionKey) -> None:
        """Forget the report on an execution: AWS has it, or the agent has given it up."""
        others = self._other_reports(key)
        if others != self._content.owed:
            self._save(owed=others)

    # --- the start ---

    def load(self) -> Memory | None:
        """Read the file. Returns the update in hand, or ``None``.

        A file that cannot be parsed is renamed to ``record.bad``.
        """
        self._content = self._read()
        verified = self._doubt_success()
        update = self._content.update
        if update is None:
            return None
        end = next((entry for entry in self._content.owed if entry.key == update.key), None)
        if end is not None:  # the agent died before it could note that it tidies up
            uncleaned = _Ending.of(end)
            self._content = replace(
                self._content, update=None, tries=(), rollback=None, uncleaned=uncleaned
            )
            return None
        same_boot = bool(self._boot_id) and self._content.boot_id == self._boot_id
        last = self._content.installation
        return Memory(
            key=update.key,
            restart_accepted=update.restarting,
            same_boot=same_boot,
            restart_attempts=update.restarts,
            restart_done=update.restarted,
            restart_waiting=update.waiting,
            verified=verified,
            replaced=update.replaced,
            version=update.installs or (last.version if last is not None else ""),
            rollback=self._rollback(update),
        )

    def _rollback(self, update: _Update) -> Rollback | None:
        """Return how far the update is taken back. A restart hook that has stopped the agent has
        told the update, not the rollback, that it is done."""
        taken = self._content.rollback
        if taken is None:
            return None
        return replace(taken, restarted=taken.restarted or update.restarted).rollback()

    def _doubt_success(self) -> State | None:
        """Take back the last success, if an earlier agent could not deliver it: the device may have
        fallen back since. Returns the success, if the installation has to be verified again."""
        *owed, last = self._content.owed or (None,)
        update = self._content.update
        if last is None or last.state not in _DOUBTED or last.overtaken:
            return None
        if update is not None and update.key != last.key:  # the agent has gone on since
            return None
        verified = _STATES[last.state] if last.state in _VERIFIED else None
        if verified is None:
            # Whatever becomes of the job, its cleanup hook was begun, and has to come to its end.
            again = _Update(*last.key) if self._content.uncleaned is not None else None
            self._save(owed=tuple(owed), update=again, tries=(), uncleaned=None)
            return None
        again = _Update(
            *last.key,
            restarting=True,
            restarts=1,
            restarted=True,
            replaced=last.facts.get("from", ""),
            installs=last.facts.get("to", ""),
        )
        self._content = replace(
            self._content, owed=tuple(owed), update=again, tries=(), uncleaned=None
        )
        return verified

    def owed(self) -> list[tuple[JobExecution, Report]]:
        """Return the undelivered reports, oldest first. Call :meth:`load` before."""
        return [entry.report() for entry in self._content.owed]

    # --- the file ---

    def _read(self) -> _Content:
        try:
            return _parse(self._directory.read(NAME))
        except FileNotFoundError:
            pass
        except OSError as error:
            self.log.error("The record cannot be read: {error}", error=str(error))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.log.error("The record makes no sense and is set aside: {error!r}", error=error)
            with self._logged("set aside"):
                self._directory.rename(NAME, BAD)
        return _Content(self._boot_id)

    def _save(self, **changes: object) -> bool:
        """Replace these parts of the record.

        Returns true if a later start reads the new content, or no file, which is as safe.
        """
        # The boot id is that of the update: a report alone may be saved in a later boot.
        if "update" in changes:
            changes["boot_id"] = self._boot_id
        new = replace(self._content, **changes)  # type: ignore[arg-type]
        if new == self._content and new.empty and self._kept:
            return True
        self._content = new
        stored = not new.empty and self._store(new)
        # Remove an old record that cannot be replaced, because the agent would make up for its
        # restart in every boot.
        safe = stored or self._remove()
        self._kept = stored or (new.empty and safe)
        return safe

    def _store(self, content: _Content) -> bool:
        with self._logged("written"):
            self._directory.replace(NAME, _to_json(content))
            return True
        with suppress(OSError):  # on a full disk the old file may have room
            self._directory.overwrite(NAME, _to_json(content))
            return True
        return False

    def _remove(self) -> bool:
        with self._logged("removed"):
            self._directory.remove(NAME, sync=True)
            return True
        return False

    def _update(self, key: ExecutionKey) -> _Update:
        update, left = self._content.update, self._left(key)
        if update is not None and update.key == key:
            return update
        installs = left.installs if left is not None and not left.displaced else ""
        return _Update(*key, installs=installs)

    def _tries(self, key: ExecutionKey) -> tuple[_Tries, ...]:
        update = self._content.update
        return self._content.tries if update is not None and update.key == key else ()

    def _tries_of_other_hooks(self, hook: Hook) -> tuple[_Tries, ...]:
        return tuple(each for each in self._content.tries if each.hook != hook.value)

    def _other_reports(self, key: ExecutionKey) -> tuple[_UndeliveredReport, ...]:
        return tuple(entry for entry in self._content.owed if entry.key != key)

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.log.error("The record cannot be {what}: {error}", what=what, error=str(error))


def _to_json(content: _Content) -> bytes:
    """Leave out what an older agent does not know, unless it says something: that agent would set
    the whole record aside."""
    data = asdict(content)
    if content.update is not None:
        data["update"] = _without_empty(data["update"], _NEW_IN_UPDATE)
    data["owed"] = [_without_empty(entry, _NEW_IN_OWED) for entry in data["owed"]]
    if content.installation is None:
        del data["installation"]
    for part in ("doubted", "left"):
        if not data[part]:
            del data[part]
    for part in ("rollback", "uncleaned"):
        if data[part] is None:
            del data[part]
    return json.dumps({"schema": SCHEMA, **data}).encode()


def _without_empty(part: dict[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name, value in part.items() if value or name not in names}


def _parse(content: bytes) -> _Content:
    data = json.loads(content)
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r}")
    update = data["update"]
    owed = tuple(_from_json(_UndeliveredReport, entry) for entry in data["owed"])
    for entry in owed:
        entry.report()
    doubted = tuple(_parse_installation(each) for each in data.get("doubted", ()))
    installation = data.get("installation")
    if installation is not None:
        installation = _parse_installation(installation)
    rollback = data.get("rollback")
    if rollback is not None:
        rollback = _from_json(_Rollback, rollback)
        rollback.rollback()
    uncleaned = data.get("uncleaned")
    return _Content(
        boot_id=str(data["boot_id"]),
        update=None if update is None else _from_json(_Update, update),
        tries=tuple(_from_json(_Tries, tries) for tries in data["tries"]),
        owed=owed,
        installation=installation,
        doubted=doubted,
        rollback=rollback,
        uncleaned=None if uncleaned is None else _from_json(_Ending, uncleaned),
        left=tuple(_from_json(_Left, each) for each in data.get("left", ())),
    )


def _parse_installation(value: object) -> _Installation:
    parsed = _from_json(_Installation, value)
    parsed.installation()
    return parsed


def _from_json(kind: Callable[..., _T], values: object) -> _T:
    """Make a dataclass of plain values. Keys that a newer agent may have added are ignored.

    :raises TypeError: if a key is missing, or its value is not of the type of the field.
    """
    if not isinstance(values, dict):
        raise TypeError(f"{values!r} is no object")
    types = get_type_hints(kind)
    known = {name: value for name, value in values.items() if name in types}
    for name, value in known.items():
        if type(value) is not (get_origin(types[name]) or types[name]):
            raise TypeError(f"{name} is {value!r}")
    return kind(**known)


def _is_port(record: FileRecord) -> Record:
    return record

"""Jobs, their executions and the reports on them: values and pure functions, no I/O.

The wire names come from the AWS IoT Jobs device API (service model ``iot-jobs-data``
2017-09-29). The state names are Upparat's own, and fixed, because fleets' dashboards know them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from . import minisign
from .text import status_value

ACTION = "upparat-update"
"""The value of ``action`` in a job document that marks the job as ours."""

LOCAL = "local@"
"""The ids of updates begun on the device begin so. No id of AWS holds this character."""

NO_MESSAGE = "none"
"""The ``message`` of a report without one: AWS admits no empty value."""


class Status(StrEnum):
    """The status of a job execution, as AWS names it."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"
    CANCELED = "CANCELED"
    REMOVED = "REMOVED"

    @property
    def ended(self) -> bool:
        """Whether this status is final."""
        return self not in (Status.QUEUED, Status.IN_PROGRESS)


class State(Enum):
    """The value of ``statusDetails.state``; each state belongs to one status."""

    DOWNLOAD_START = "download_start", Status.IN_PROGRESS
    DOWNLOAD_PROGRESS = "download_progress", Status.IN_PROGRESS
    DOWNLOAD_INTERRUPT = "download_interrupt", Status.IN_PROGRESS
    INSTALLATION_START = "installation_start", Status.IN_PROGRESS
    INSTALLATION_PROGRESS = "installation_progress", Status.IN_PROGRESS
    INSTALLATION_INTERRUPT = "installation_interrupt", Status.IN_PROGRESS
    REBOOT_START = "reboot_start", Status.IN_PROGRESS
    REBOOT_INTERRUPT = "reboot_interrupt", Status.IN_PROGRESS
    ROLLBACK_START = "rollback_start", Status.IN_PROGRESS
    WAITING_FOR_WINDOW = "waiting_for_window", Status.IN_PROGRESS
    WAITING_FOR_APPROVAL = "waiting_for_approval", Status.IN_PROGRESS

    VERSION_ALREADY_INSTALLED = "version_already_installed", Status.SUCCEEDED
    NO_INSTALLATION_HOOK_PROVIDED = "no_installation_hook_provided", Status.SUCCEEDED
    NO_RESTART_HOOK_PROVIDED = "no_restart_hook_provided", Status.SUCCEEDED
    COMPLETE_SOFT_RESTART = "complete_soft_restart", Status.SUCCEEDED
    COMPLETE_NO_VERSION_CHECK = "complete_no_version_check", Status.SUCCEEDED
    COMPLETE_NO_READY_CHECK = "complete_no_ready_check", Status.SUCCEEDED
    COMPLETE_READY = "complete_ready", Status.SUCCEEDED

    VERSION_HOOK_FAILED = "version_hook_failed", Status.FAILED
    INCOMPATIBLE = "incompatible", Status.FAILED
    DOWNLOAD_HOOK_FAILED = "download_hook_failed", Status.FAILED
    INSTALLATION_HOOK_FAILED = "installation_hook_failed", Status.FAILED
    RESTART_HOOK_FAILED = "restart_hook_failed", Status.FAILED
    READY_HOOK_FAILED = "ready_hook_failed", Status.FAILED
    VERSION_MISMATCH = "version_mismatch", Status.FAILED
    DOWNGRADE_REFUSED = "downgrade_refused", Status.FAILED
    DOWNLOAD_FAILED = "download_failed", Status.FAILED
    VERIFICATION_FAILED = "verification_failed", Status.FAILED
    INSUFFICIENT_STORAGE = "insufficient_storage", Status.FAILED
    ERROR_MULTIPLE_IN_PROGRESS = "error_multiple_in_progress", Status.FAILED

    INVALID_JOB_DOCUMENT = "invalid_job_document", Status.REJECTED

    status: Status

    def __new__(cls, value: str, status: Status) -> State:
        state = object.__new__(cls)
        state._value_ = value
        state.status = status
        return state

    @property
    def progress(self) -> bool:
        """Whether a newer report with the same state replaces this one."""
        return self in (State.DOWNLOAD_PROGRESS, State.INSTALLATION_PROGRESS)


class Downgrades(StrEnum):
    """When an older version may replace the installed one: always, with ``force``, or never."""

    YES = "yes"
    FORCED = "forced"
    NO = "no"


class Hook(StrEnum):
    """The owner's commands, by the name of their option."""

    VERSION = "version"
    CHECK = "check"
    DOWNLOAD = "download"
    INSTALL = "install"
    RESTART = "restart"
    READY = "ready"
    ROLLBACK = "rollback"
    CLEANUP = "cleanup"

    @property
    def failure(self) -> State:
        """The state that reports this hook's failure.

        :raises KeyError: for ``rollback`` and ``cleanup``, whose failure is no end of a job.
        """
        return _HOOK_FAILURES[self]

    @property
    def must_finish(self) -> bool:
        """Whether the device may be broken when the hook is killed half-way."""
        return self in (Hook.INSTALL, Hook.RESTART, Hook.ROLLBACK)

    @property
    def writes(self) -> bool:
        """Whether the hook's children may still write to the device when the hook is dead."""
        return self in (Hook.INSTALL, Hook.ROLLBACK)


_HOOK_FAILURES = {
    Hook.VERSION: State.VERSION_HOOK_FAILED,
    Hook.CHECK: State.INCOMPATIBLE,
    Hook.DOWNLOAD: State.DOWNLOAD_HOOK_FAILED,
    Hook.INSTALL: State.INSTALLATION_HOOK_FAILED,
    Hook.RESTART: State.RESTART_HOOK_FAILED,
    Hook.READY: State.READY_HOOK_FAILED,
}


class ExecutionKey(NamedTuple):
    """Identifies one job execution among all executions on the same thing.

    A deleted job can be created anew under the same id, again with execution number 1. Only
    ``queued_at`` (seconds since the epoch) differs then.
    """

    job_id: str
    number: int
    queued_at: int

    @classmethod
    def of_job(cls, job_id: str) -> ExecutionKey:
        """Return the key of an execution of which AWS has told the job alone."""
        return cls(job_id, 0, 0)

    @property
    def local(self) -> bool:
        """Whether somebody has begun it on the device, and AWS knows nothing of it."""
        return self.job_id.startswith(LOCAL)


@dataclass(frozen=True)
class JobExecutionSummary:
    """An entry in a list of pending executions, without document and details."""

    key: ExecutionKey
    status: Status


@dataclass(frozen=True)
class JobExecution:
    """A job execution as AWS describes it; ``document`` is any JSON value."""

    key: ExecutionKey
    status: Status
    version_number: int
    details: Mapping[str, str] = field(default_factory=dict)
    document: object = field(default=None, repr=False)

    @property
    def job_id(self) -> str:
        return self.key.job_id

    @property
    def state(self) -> str:
        """``statusDetails.state``, or an empty string."""
        return self.details.get("state", "")

    @property
    def ours(self) -> bool:
        """Whether the document marks the job as one for this agent."""
        return isinstance(self.document, dict) and self.document.get("action") == ACTION


@dataclass(frozen=True)
class Job:
    """An execution of ours with a valid document. Optional members are ``None`` if not given.

    :ivar file: a URL, often a pre-signed one, which is a secret: it does not show in the repr.
    :ivar meta: the owner's text for the hooks; may be a secret as well.
    :ivar size: in bytes.
    :ivar sha256: lower-case hexadecimal digits, like ``sha512``.
    :ivar signature: decoded from base64, or the text of a minisign signature.
    :ivar certificate: the PEM text of the signer's certificate.
    """

    execution: JobExecution
    version: str
    file: str = field(repr=False)
    meta: str = field(default="", repr=False)
    force: bool = False
    size: int | None = None
    sha256: str | None = None
    sha512: str | None = None
    signature: bytes | None = None
    certificate: str | None = None

    @property
    def digested(self) -> bool:
        """Whether the document holds a digest of the file."""
        return self.sha256 is not None or self.sha512 is not None

    @property
    def key(self) -> ExecutionKey:
        return self.execution.key

    @property
    def job_id(self) -> str:
        return self.execution.key.job_id


@dataclass(frozen=True)
class Report:
    """A report on an execution: a state, which implies the status, and a message.

    :ivar facts: more of the ``statusDetails``, by name; empty values are left out.
    """

    state: State
    message: str = NO_MESSAGE
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        return self.state.status

    @property
    def discards(self) -> bool:
        """Whether the job's file can be removed: without an install hook it is the result."""
        return self.status.ended and self.state is not State.NO_INSTALLATION_HOOK_PROVIDED

    @property
    def confirms(self) -> bool:
        """Whether the installation is done, as far as the hooks can tell."""
        return self.status is Status.SUCCEEDED and self.state not in _NOTHING_INSTALLED

    @property
    def details(self) -> dict[str, str]:
        """The ``statusDetails`` of the update, within AWS's rules for their values."""
        facts = {name: status_value(value) for name, value in self.facts.items()}
        known = {name: value for name, value in facts.items() if value}
        for name, value in _SPARE:
            if len(known) > MAX_FACTS and known.get(name) == (value or known.get(name)):
                known.pop(name, None)
        return {
            "state": self.state.value,
            "message": status_value(self.message) or NO_MESSAGE,
            **known,
        }


MAX_FACTS = 8
"""AWS admits ten details: ``state``, ``message``, and so many more."""

_SPARE = (("rollback", "none"), ("seconds", ""), ("runs", ""), ("to", ""))
"""What is left out first where there is no room, by name and value: the log has it, or the job
document."""

_NOTHING_INSTALLED = (State.VERSION_ALREADY_INSTALLED, State.NO_INSTALLATION_HOOK_PROVIDED)


class InvalidDocument(ValueError):
    """A job document that can never work; the message names every wrong key."""


def parse_document(execution: JobExecution, *, installed: bool = False) -> Job:
    """Read the document of an execution that is ours.

    An object member that is ``null`` counts as absent: AWS drops those when it re-serialises.

    :param installed: the file is installed already, and only the version matters: AWS may no longer
        be able to fill a placeholder elsewhere. Everything about the file is left out.
    :raises InvalidDocument: with all problems at once, by key.
    """
    document = execution.document
    if not isinstance(document, dict):
        raise InvalidDocument("the document is not an object")
    given = {key: value for key, value in document.items() if value is not None}
    reader = _DocumentReader(given, local=execution.key.local)
    job = Job(execution, version=reader.version(), file="")
    if not installed:
        job = reader.with_file(job)
    if reader.problems:
        raise InvalidDocument("; ".join(reader.problems))
    # The hooks get ``meta`` and ``force`` as they are: both were valid when the job began.
    return replace(job, meta=reader.meta(), force=reader.flag("force")) if installed else job


def log_url(execution: JobExecution) -> str:
    """Return the URL that the log of an execution is to be uploaded to, a secret; empty if the
    document has none.

    :raises InvalidDocument: if it makes no sense. The job is none the worse for it.
    """
    return _extra_url(execution, "log_url")


def delta_url(execution: JobExecution) -> str:
    """Return the URL of the zchunk file of the job's file, a secret; empty if the document has
    none.

    :raises InvalidDocument: if it makes no sense. The job is none the worse for it.
    """
    return _extra_url(execution, "delta")


def _extra_url(execution: JobExecution, key: str) -> str:
    document = execution.document
    if not isinstance(document, dict) or document.get(key) is None:
        return ""
    reader = _DocumentReader(document)
    url = reader.url(key)
    if reader.problems:
        raise InvalidDocument("; ".join(reader.problems))
    return url


class _DocumentReader:
    """Reads the keys of a document and collects their problems."""

    def __init__(self, document: Mapping[str, object], *, local: bool = False) -> None:
        self.document = document
        self._schemes = ("file:///",) if local else ()
        self.problems: list[str] = []

    def _problem(self, key: str, what: str) -> None:
        self.problems.append(f"{key}: {what}")

    def with_file(self, job: Job) -> Job:
        """Add everything but the version."""
        return replace(
            job,
            file=self.url("file"),
            meta=self.meta(),
            force=self.flag("force"),
            size=self.size(),
            sha256=self.digest("sha256", 64),
            sha512=self.digest("sha512", 128),
            signature=self.signature(),
            certificate=self.certificate(),
        )

    def version(self) -> str:
        """Read a version that a version hook can print: its answer is one line without blanks
        around it, and any other version would never match."""
        version = self.text("version")
        if version != version.strip():
            self._problem("version", "begins or ends with white space")
        elif not version.isprintable():
            self._problem("version", "holds a character that cannot be printed")
        return version

    def text(self, key: str) -> str:
        """Read a required string; it can be an argument of a command."""
        value = self.document.get(key)
        if key not in self.document:
            self._problem(key, "is missing")
        elif not isinstance(value, str):
            self._problem(key, f"must be a string, not {_json_type(value)}")
        elif not value.strip():
            self._problem(key, "is empty")
        elif "\0" in value:
            self._problem(key, "holds a NUL character")
        else:
            return value
        return ""

    def url(self, key: str) -> str:
        url = self.text(key)
        if "${" in url:
            # AWS replaces ${aws:iot:s3-presigned-url:…} at delivery; left in, it can never work.
            self._problem(key, "holds a placeholder that was not replaced")
        elif url and not (_is_web_address(url) or url.startswith(self._schemes)):
            self._problem(key, "must be an https: or http: URL")
        elif re.search(r"[\s\x00-\x1f\x7f]", url):
            self._problem(key, "holds white space or a control character")
        return url

    def flag(self, key: str) -> bool:
        value = self.document.get(key, False)
        if not isinstance(value, bool):
            self._problem(key, f"must be true or false, not {_json_type(value)}")
            return False
        return value

    def meta(self) -> str:
        value = self.document.get("meta", "")
        try:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        except RecursionError:
            self._problem("meta", "is nested too deeply")
            return ""
        if "\0" in text:
            self._problem("meta", "holds a NUL character")
            return ""
        return text

    def size(self) -> int | None:
        value = self.document.get("size")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self._problem("size", "must be a number of bytes, 0 or more")
            return None
        return value

    def digest(self, key: str, digits: int) -> str | None:
        value = self.document.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value):
            self._problem(key, f"must be {digits} hexadecimal digits")
            return None
        return value.lower()

    def signature(self) -> bytes | None:
        """Read base64, broken into lines or not, or the text of a minisign signature."""
        text = self._optional("signature")
        if text is None:
            return None
        if text.startswith(minisign.COMMENT.decode()):
            return self._minisig(text)
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError:
            self._problem("signature", "must be base64")
            return None

    def _minisig(self, text: str) -> bytes | None:
        try:
            content = text.encode()
            minisign.parse_signature(content)
        except ValueError as error:  # or a lone surrogate, which cannot be encoded
            self._problem("signature", f"is not what minisign writes: {error}")
            return None
        return content

    def certificate(self) -> str | None:
        text = self._optional("certificate")
        if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
            self._problem("certificate", "must be a PEM certificate")
        return text

    def _optional(self, key: str) -> str | None:
        """Read an optional string; AWS may have put it in place of a placeholder."""
        if key not in self.document:
            return None
        text = self.text(key)
        if "${" in text:
            self._problem(key, "holds a placeholder that was not replaced")
            return None
        return text or None


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # not a valid port or address
        return False


def _json_type(value: object) -> str:
    """Name the JSON type of a decoded value."""
    numbers = dict.fromkeys((int, float), "a number")
    names = {**numbers, bool: "a boolean", str: "a string", list: "a list"}
    return names.get(type(value), "an object")

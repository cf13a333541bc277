"""Verification of a job's file by SHA-512 and signature.

Size and SHA-256 are compared in ``partial``, because they are known as the bytes come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

from upparat import minisign
from upparat.config.settings import Require, VerifySettings
from upparat.job import Job

if TYPE_CHECKING:
    from upparat.signing.keys import PublicKey
    from upparat.signing.signatures import Message

_NOT_OURS = "signature: no key of ours has made it"


def _now() -> datetime:
    return datetime.now(UTC)


class Verifier:
    """Verifies files by the owner's keys.

    :param now: the time at which certificates have to be valid.
    :param unfit: why no file can be accepted at all.
    """

    def __init__(
        self, settings: VerifySettings, now: Callable[[], datetime] = _now, *, unfit: str = ""
    ) -> None:
        self._settings = settings
        self._now = now
        self._unfit = unfit

    def objection(self, job: Job) -> str:
        """Why the file of this job cannot be accepted, whatever it holds; empty if it can."""
        if self._unfit:
            return f"the configuration is wrong: {self._unfit}"
        require = self._settings.require
        if require is Require.DIGEST and not job.digested:
            return "the job document has neither sha256 nor sha512"
        if require is Require.SIGNATURE and job.signature is None:
            return "signature: is missing in the job document"
        if not self._signed(job):
            return ""
        keys, problem = self._keys(job)
        if problem:
            return problem
        if self._settings.bind_version and job.sha256 is not None:
            return self._mismatch(job, keys, None, job.sha256)
        return ""

    def identifies(self, job: Job) -> bool:
        """Whether a digest or a signature identifies the job's file."""
        return job.digested or self._signed(job)

    def needs_file(self, job: Job) -> bool:
        """Whether there is a signature that only the bytes of the file can be checked with, so that
        :meth:`objection` says nothing of it."""
        told = self._settings.bind_version and job.sha256 is not None
        return self._signed(job) and not told

    def digests(self, job: Job) -> set[str]:
        """The algorithms whose digests :meth:`check` may ask for, by their names in hashlib."""
        names = {"sha256"} if job.sha512 is None else {"sha256", "sha512"}
        if self._signed(job) and not self._settings.bind_version:
            names |= _signed_digests(job.signature or b"")
        return names

    def check(self, job: Job, content: Message) -> str:
        """How the SHA-512 or the signature of a file differs from the job's; empty if they do not.

        Takes a while, so call it in a thread. Passes on every exception of ``content`` but
        ``ValueError``, which counts as a signature that cannot be checked.
        """
        if job.sha512 is not None:
            digest = content.digest("sha512").hex()
            if digest != job.sha512:
                return f"sha512: expected {job.sha512}, got {digest}"
        if not self._signed(job):
            return ""
        keys, problem = self._keys(job)
        return problem or self._mismatch(job, keys, content, content.digest("sha256").hex())

    def _signed(self, job: Job) -> bool:
        """Whether there is a signature to check; without a key of ours it proves nothing."""
        return job.signature is not None and bool(self._settings.keys or self._settings.authorities)

    def _keys(self, job: Job) -> tuple[list[PublicKey], str]:
        """The keys that count for this job, and the problem of its certificate."""
        keys = list(self._settings.keys)
        if not self._settings.authorities or job.certificate is None:
            problem = "" if keys else "certificate: is missing in the job document"
            return keys, problem
        from upparat.signing.keys import BadKey, certified

        try:
            keys.append(certified(job.certificate, self._settings.authorities, self._now()))
        except BadKey as bad:
            return keys, "" if keys else f"certificate: {bad}"
        return keys, ""

    def _mismatch(
        self, job: Job, keys: list[PublicKey], content: Message | None, sha256: str
    ) -> str:
        from upparat.signing.signatures import verified

        signature, problem = job.signature or b"", ""
        try:
            messages = list(self._messages(job, content, sha256))
        except ValueError as error:
            return f"signature: {error}"
        for message, key in product(messages, keys):
            try:
                if verified(key, signature, message):
                    return ""
            except ValueError as error:  # this key needs all bytes at once; another may not
                problem = f"signature: {error}"
        return problem or self._refusal(keys, signature, job.version, sha256)

    def _refusal(self, keys: list[PublicKey], signature: bytes, version: str, sha256: str) -> str:
        """Tell a signature that names no product from one that no key of ours has made."""
        from upparat.signing.signatures import Text, statement, verified

        wanted = self._settings.product
        if not wanted:
            return _NOT_OURS
        unnamed = Text(statement(version, sha256))
        if any(verified(key, signature, unnamed) for key in keys):
            return f"signature: names no product, and must name {wanted!r}"
        return f"{_NOT_OURS} for the product {wanted!r}"

    def _messages(self, job: Job, content: Message | None, sha256: str) -> Iterator[Message]:
        from upparat.signing.signatures import Text, statement

        if self._settings.bind_version:
            yield Text(statement(job.version, sha256, self._settings.product))
            return
        if job.version.isprintable():
            yield Text(statement(job.version, sha256))
        if content is not None:
            yield content


def _signed_digests(signature: bytes) -> set[str]:
    """The digests that a signature over a file alone may be made of, beside SHA-256."""
    made = minisign.recognized(signature)
    if made is None:
        return {"sha384"}
    return {"blake2b"} if made.prehashed else set()

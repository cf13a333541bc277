"""The way of one file through the agent into the install hook: nothing of it is stored.

The last bytes are held back until the whole file is verified, so that no installer can have read
a complete file before that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred, succeed

from upparat.job import Job, State
from upparat.storage.directory import Note
from upparat.streaming import StreamConsumer

from .partial import FileMismatch, PartialDownload, StartOver
from .response import ResumePoint, Temporary, UrlExpired
from .transfer import Budget, Failed, Transfer, TransferContext, check_job

HELD_BACK = 1 << 16
"""Bytes of the end that the hook gets once all are verified."""


def check_streamed(tools: TransferContext, job: Job) -> None:
    """:raises Failed: if the file of this job must not be streamed."""
    check_job(tools, job)
    if not tools.verifier.tells(job):
        needs = "[hooks] install_stream needs sha256, sha512 or a signature in the job document"
        raise Failed(State.VERIFICATION_FAILED, needs)


class StreamSink:
    """Counts and hashes what passes; one call at a time, :meth:`hash` perhaps in a thread.

    :param algorithms: the digests to follow, by their names in hashlib.
    """

    def __init__(self, outlet: StreamConsumer, algorithms: Collection[str]) -> None:
        self.length = 0
        self._outlet = outlet
        self._hashes = {name: hashlib.new(name) for name in {"sha256", *algorithms}}
        self._end = b""
        self._closed = False

    # --- the way ---

    def close(self) -> None:
        """Nothing passes any more: the outlet may belong to another stream already."""
        self._closed = True

    def hash(self, data: bytes) -> None:
        for each in self._hashes.values():
            each.update(data)

    def pass_on(self, data: bytes) -> Deferred[None]:
        """Give the outlet what may go; fires when there is room for more."""
        if self._closed:
            return succeed(None)
        self.length += len(data)
        known = self._end + data
        self._end = known[-HELD_BACK:]
        return self._outlet.write(known[:-HELD_BACK])

    def release(self) -> Deferred[None]:
        """Give the outlet the rest."""
        end, self._end = self._end, b""
        return self._outlet.write(end)

    # --- what is to be verified ---

    def digest(self, name: str) -> bytes:
        """Of all bytes, by one of the algorithms."""
        return self._hashes[name].digest()

    def verify(self, check: Callable[[bytes], None]) -> None:
        """:raises ValueError: nobody has all bytes."""
        raise ValueError("Ed25519 over the file alone needs a file that is stored")

    # --- a sink that forgets nothing, and remembers nothing ---

    @property
    def sha256(self) -> str:
        return self.digest("sha256").hex()

    def read_note(self) -> Note:
        return Note()

    def write_note(self, note: Note) -> None:
        pass

    def start_over(self) -> None:
        raise StartOver("the server does not go on where the connection has ended")

    def make_room(self, total: int) -> None:
        pass


class StreamTarget(PartialDownload):
    """What has passed, in the light of the job."""

    @property
    def held(self) -> ResumePoint:
        """Only with an ETag: a file that was put together of two would be found out too late."""
        held = super().held
        return held if held.etag else ResumePoint()


class Stream:
    """A file on its way into one run of the hook; the job, and with it the URL, may be renewed."""

    def __init__(self, tools: TransferContext, job: Job, outlet: StreamConsumer) -> None:
        self.outlet = outlet
        self.budget = Budget(job.key)
        self.passage = StreamSink(outlet, tools.verifier.digests(job))
        self.target = StreamTarget(job, self.passage)

    def renew(self, job: Job) -> None:
        self.target.job = job


class StreamTransfer(Transfer[int]):
    """Brings what a stream still lacks."""

    def __init__(self, tools: TransferContext, job: Job, stream: Stream) -> None:
        super().__init__(tools, job, stream.budget)
        self.stream = stream
        self._passage = stream.passage

    async def run(self) -> int | UrlExpired:
        """The number of bytes, when the hook has them all and knows that they are verified.

        :raises Failed: when there is no hope left.
        :raises StartOver: when only another run of the hook can help.
        """
        self._waiter.check()
        check_streamed(self._tools, self.job)
        self.stream.renew(self.job)
        return await self._attempts(self.stream.target)

    def _put(self, target: PartialDownload, data: bytes) -> Deferred[None]:
        hashed = self._write_in_thread(lambda: self._passage.hash(data))
        return hashed.addCallback(lambda _: self._passage.pass_on(data))

    async def _finish(self, target: PartialDownload) -> int:
        target.check()
        if problem := await self._objection(self._passage):
            raise FileMismatch(problem)
        await self._waiter.wait(self._passage.release())
        self.stream.outlet.finish_stdin()
        return target.length

    def _wrong(self, target: PartialDownload, problem: str) -> Temporary:
        raise Failed(State.VERIFICATION_FAILED, problem)

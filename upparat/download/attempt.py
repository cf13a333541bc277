"""One attempt at a file: ask for what is missing, follow redirects, write what comes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError

from .errors import explain
from .exchange import Exchange
from .partial import DiskError, FileMismatch, PartialDownload, StartOver
from .response import (
    Body,
    Complete,
    ErrorResponse,
    FileChanged,
    Head,
    Permanent,
    Redirect,
    Temporary,
    UrlExpired,
    interpret_error,
    interpret_head,
)
from .url import redirected
from .writer import Writer

MAX_REDIRECTS = 5

Verdict = Complete | FileChanged | Temporary | UrlExpired | Permanent


class Attempt:
    """Made for one use.

    :param exchange: makes what performs one request.
    :param writer: makes what takes the body that an exchange brings.
    """

    def __init__(
        self,
        target: PartialDownload,
        exchange: Callable[[], Exchange],
        writer: Callable[[Exchange], Writer],
    ) -> None:
        self._target = target
        self._make_exchange = exchange
        self._make_writer = writer

    async def run(self) -> Verdict:
        """What it has come to; trouble on the line means a retry.

        :raises Wrong: if the server has another file than the job's.
        :raises DiskError: if the bytes cannot be written.
        :raises StartOver: if it has come to a place that there is no way back from.
        """
        try:
            return await self._follow()
        except (CancelledError, DiskError, StartOver, FileMismatch):
            raise
        except Exception as problem:
            if self._target.full:
                return Complete()
            return Temporary(explain(problem) + self._where())

    async def _follow(self) -> Verdict:
        url = self._target.job.file
        for _ in range(MAX_REDIRECTS + 1):
            verdict = await self._ask(url)
            if not isinstance(verdict, Redirect):
                return verdict
            url, problem = redirected(url, verdict.location)
            if problem:
                return Permanent(f"the server {problem}")
        return Permanent(f"more than {MAX_REDIRECTS} redirects")

    async def _ask(self, url: str) -> Verdict | Redirect:
        exchange = self._make_exchange()
        try:
            held = self._target.held
            head = await exchange.head(url, held.headers)
            answer = interpret_head(held, self._target.job.size, head)
            if isinstance(answer, Body):
                return await self._take(exchange, answer)
            if isinstance(answer, ErrorResponse):
                return await self._refused(exchange, head)
            await exchange.drain()
            return answer
        finally:
            exchange.close()

    async def _refused(self, exchange: Exchange, head: Head) -> Verdict:
        return interpret_error(head, await exchange.error_body())

    async def _take(self, exchange: Exchange, body: Body) -> Verdict:
        target = self._target
        target.begin(body)
        marked = await self._receive(exchange)
        if target.total is not None:
            if target.full:
                return Complete()
            return Temporary("the connection ended" + self._where())
        if marked or target.job.digested:
            return Complete()
        # Nobody could tell whether this is all of it, and a truncated file must not pass.
        return Permanent("the server tells no length: give size or a digest in the job document")

    async def _receive(self, exchange: Exchange) -> bool:
        """However the body ends, nothing is written any more when this has ended."""
        writer = self._make_writer(exchange)
        try:
            marked = await exchange.body(writer.take)
        except CancelledError:
            await writer.stop()
            raise
        except Exception:
            await writer.finish()
            raise
        await writer.finish()
        return marked

    def _where(self) -> str:
        length, total = self._target.length, self._target.total
        return f" at {length} of {total} bytes" if length and total is not None else ""

"""The feed: sends the content of the page to all who watch it, as server-sent events."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from upparat.control.desk import Desk, DeskClient
from upparat.control.protocol import Message
from upparat.control.render import Status
from upparat.oneshot import OneShot

from .channel import REQUEST_TIMEOUT, PageRequest
from .page import content

MAX_STREAMS = 8
"""Streams at once."""

TICK = 1.0
"""Seconds between two events, if nothing but the times has changed."""

QUIET = 15.0
"""Seconds without an event, after which a comment shows whether the client is still there."""


@implementer(IPushProducer)
class EventStream:
    """The events for one client, which reads as slowly as it likes, within bounds.

    :param on_left: called when the connection is gone.
    """

    def __init__(
        self, request: PageRequest, clock: IReactorTime, on_left: Callable[[EventStream], None]
    ) -> None:
        self._request = request
        self._patience = OneShot(clock)
        self._quiet = OneShot(clock)
        self._paused = False
        self._next: bytes | None = None
        request.go_on()
        request.setHeader("Content-Type", "text/event-stream")
        request.registerProducer(self, True)
        request.notifyFinish().addBoth(self._left, on_left)

    def send(self, event: bytes) -> None:
        """Send an event. A client that has not read the last one gets only the newest later."""
        if self._paused:
            self._next = event
            if not self._patience.running:
                self._patience.start(REQUEST_TIMEOUT, self.drop)
            return
        self._quiet.start(QUIET, self.send, b":\n\n")
        self._request.write(event)

    def drop(self) -> None:
        """Close the connection at once."""
        self._request.drop()

    def _left(self, _: object, on_left: Callable[[EventStream], None]) -> None:
        self._patience.cancel()
        self._quiet.cancel()
        on_left(self)

    # --- IPushProducer ---

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._patience.cancel()
        event, self._next = self._next, None
        if event is not None:
            self.send(event)

    def stopProducing(self) -> None:
        """The connection ends; ``notifyFinish`` says when it is gone."""


class Feed:
    """Follows the desk, as one client of it, while somebody watches.

    :param desk: where the status comes from.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._streams: set[EventStream] = set()
        self._tick = OneShot(desk.clock)
        self._status: Status = {}
        self._made = 0.0
        self._last = b""

    @property
    def full(self) -> bool:
        return len(self._streams) >= MAX_STREAMS

    def watch(self, request: PageRequest) -> None:
        """Send the content of the page now and at each change."""
        stream = EventStream(request, self._desk.clock, self._left)
        self._streams.add(stream)
        if len(self._streams) == 1:
            self._desk.follow(self)
        else:
            stream.send(self._last)

    def _left(self, stream: EventStream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._desk.left(self)
            self._tick.cancel()
            self._last = b""

    def _tell(self) -> None:
        event = _event(content(self._status, self._desk.clock.seconds() - self._made))
        if event != self._last:
            self._last = event
            for stream in list(self._streams):
                stream.send(event)
        self._tick.start(TICK, self._tell)

    # --- a client of the desk ---

    def send(self, message: Message) -> None:
        """Take the status, and tell all who watch."""
        self._status, self._made = dict(message), self._desk.clock.seconds()
        self._tell()

    def send_status(self, message: Message) -> None:
        self.send(message)

    def drop(self) -> None:
        """Close the connections of all who watch."""
        for stream in list(self._streams):
            stream.drop()


def _event(data: bytes) -> bytes:
    """Return an event, whose data may have several lines."""
    lines = b"".join(b"data: %b\n" % line for line in data.splitlines())
    return lines + b"\n"


def _is_a_client(feed: Feed) -> DeskClient:
    return feed

"""What can go wrong between a device and AWS IoT Jobs, as actions on a request and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

FOREVER = -1

Replies = list["Reply"]


@dataclass(frozen=True)
class Request:
    """What a device asks; ``time`` is monotonic."""

    operation: str
    job_id: str
    body: Mapping[str, Any]
    topic: str
    time: float

    @property
    def token(self) -> object:
        return self.body.get("clientToken")

    @property
    def state(self) -> str:
        """``statusDetails.state`` of an update, or an empty string."""
        details = self.body.get("statusDetails")
        return str(details.get("state", "")) if isinstance(details, dict) else ""


@dataclass(frozen=True)
class Reply:
    """An answer: bytes as they are, anything else as JSON."""

    verdict: str
    payload: Any


@dataclass(frozen=True)
class Refusal:
    """An answer on the rejected topic, with the state of the execution if asked."""

    code: str
    message: str
    state: bool


def _as_it_is(replies: Replies) -> Replies:
    return replies


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Action:
    """What is done to a request. ``early`` runs before AWS works on it, ``late`` before it
    answers; both may change jobs, kill agents and restart brokers."""

    change: Callable[[Replies], Replies] = _as_it_is
    refusal: Refusal | None = None
    lost: bool = False
    stale: bool = False
    held: bool = False
    early: Callable[[], object] = _nothing
    late: Callable[[], object] = _nothing


def lost() -> Action:
    """The request never arrives."""
    return Action(lost=True)


def dropped() -> Action:
    """The request is worked on, but its answer never arrives."""
    return Action(change=lambda replies: [])


def delayed() -> Action:
    """The answer waits for ``Cloud.release``."""
    return Action(held=True)


def duplicated() -> Action:
    """The answer comes twice."""
    return Action(change=lambda replies: [*replies, *replies])


def rejected(code: str, message: str = "scripted", *, state: bool = False) -> Action:
    """AWS refuses the request and does not work on it."""
    return Action(refusal=Refusal(code, message, state))


def throttled() -> Action:
    return rejected("RequestThrottled", "The request was throttled")


def stale() -> Action:
    """A list of pending executions as it was before the last change."""
    return Action(stale=True)


def altered(change: Callable[[dict[str, Any]], object]) -> Action:
    """The answer's payload is passed through ``change``."""
    return Action(
        change=lambda replies: [Reply(each.verdict, change(each.payload)) for each in replies]
    )


def malformed(payload: object) -> Action:
    """This is sent in place of the answer; bytes as they are, anything else as JSON."""
    return altered(lambda answer: payload)


def with_members(**members: object) -> Action:
    """Members of the answer are replaced."""
    return altered(lambda answer: {**answer, **members})


def wrong_token() -> Action:
    return with_members(clientToken="somebody-elses")


def empty() -> Action:
    """As if nothing was pending; a describe of ``$next`` can say so wrongly."""

    def emptied(answer: dict[str, Any]) -> object:
        lists: dict[str, object] = {
            name: [] for name in ("inProgressJobs", "queuedJobs") if name in answer
        }
        return {name: value for name, value in answer.items() if name != "execution"} | lists

    return altered(emptied)


def calling(callback: Callable[[], object], *, before: bool = False) -> Action:
    """Run ``callback`` just before the answer is sent, or before the request is worked on."""
    return Action(early=callback) if before else Action(late=callback)


@dataclass
class Rule:
    """An action for the next requests that match; ``hits`` counts them.

    :param operation: get, describe, update, start-next, or ``*``.
    :param where: more to ask of a request.
    """

    operation: str
    action: Action
    times: int = 1
    job_id: str | None = None
    state: str | None = None
    where: Callable[[Request], bool] = lambda request: True
    hits: int = field(default=0, init=False)

    @property
    def left(self) -> bool:
        return self.times == FOREVER or self.hits < self.times

    def takes(self, request: Request) -> bool:
        """Whether the rule is for this request; it counts as used if so."""
        matching = (
            self.left
            and self.operation in ("*", request.operation)
            and self.job_id in (None, request.job_id)
            and self.state in (None, request.state)
            and self.where(request)
        )
        self.hits += matching
        return matching

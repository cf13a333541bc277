"""The answers of AWS IoT Jobs to a device's requests, from a store, as they are on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from upparat.job import Status

from .faults import Action, Refusal, Reply, Request
from .rules import Target, refusals
from .store import LISTED, Execution, Rejected, Store


class Responder:
    """Answers one request after the other; members are in AWS's order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listing_before = self.listing()

    def answer(self, target: Target, request: Request, actions: Sequence[Action] = ()) -> Reply:
        """Work on a request, unless an action refuses it."""
        try:
            for refusal in filter(None, (action.refusal for action in actions)):
                raise self._refused(request, refusal)
            if refused := refusals(target, request.body):
                message = f"{len(refused)} validation error(s) detected: {'; '.join(refused)}"
                raise Rejected("InvalidRequest", message)
            stale = any(action.stale for action in actions)
            return Reply("accepted", self._head(request.token) | self._result(request, stale))
        except Rejected as rejected:
            return self.rejection(request.token, rejected)

    def rejection(self, token: object, rejected: Rejected) -> Reply:
        execution = rejected.execution
        state = {"executionState": execution.brief()} if execution is not None else {}
        reason = {"code": rejected.code, "message": rejected.message}
        return Reply("rejected", self._head(token) | state | reason)

    def listing(self) -> dict[str, Any]:
        """What ``get`` answers."""
        pending = self._store.pending()[:LISTED]
        lists = {"inProgressJobs": Status.IN_PROGRESS, "queuedJobs": Status.QUEUED}
        return {
            name: [each.summary() for each in pending if each.status is status]
            for name, status in lists.items()
        }

    def changed_from(self, listing: dict[str, Any]) -> None:
        """Remember what the list was, for those who shall get it stale."""
        if listing != self.listing():
            self._listing_before = listing

    def notification(self) -> dict[str, Any]:
        """``notify``: an empty list is left out."""
        jobs: dict[str, list[dict[str, Any]]] = {}
        for each in self._store.pending()[:LISTED]:
            jobs.setdefault(each.status.value, []).append(each.summary())
        return {"timestamp": self._store.now(), "jobs": jobs}

    def next_notification(self) -> dict[str, Any]:
        """``notify-next``: with nothing pending it is a bare time."""
        first = next(iter(self._store.pending()), None)
        return {"timestamp": self._store.now(), **self._whole(first, document=True)}

    # --- operations ---

    def _result(self, request: Request, stale: bool) -> dict[str, Any]:
        body = request.body
        if request.operation == "get":
            return self._listing_before if stale else self.listing()
        if request.operation == "update":
            return self._update(request)
        if request.operation == "describe":
            found = self._store.describe(request.job_id, _number(body, "executionNumber"))
            return self._whole(found, document=bool(body.get("includeJobDocument", True)))
        step = _number(body, "stepTimeoutInMinutes")
        return self._whole(self._store.start_next(body.get("statusDetails"), step), document=True)

    def _update(self, request: Request) -> dict[str, Any]:
        body = request.body
        execution = self._store.update(
            request.job_id,
            body["status"],
            body.get("statusDetails"),
            expected=_number(body, "expectedVersion"),
            number=_number(body, "executionNumber"),
            step=_number(body, "stepTimeoutInMinutes"),
        )
        state = (
            {"executionState": execution.brief()} if body.get("includeJobExecutionState") else {}
        )
        document = {"jobDocument": execution.delivery()} if body.get("includeJobDocument") else {}
        return state | document

    def _whole(self, execution: Execution | None, *, document: bool) -> dict[str, Any]:
        if execution is None:
            return {}
        return {"execution": execution.whole(self._store.now(), document=document)}

    def _refused(self, request: Request, refusal: Refusal) -> Rejected:
        found = [each for each in self._store.executions if each.job_id == request.job_id]
        state = found[-1] if found and refusal.state else None
        return Rejected(refusal.code, refusal.message, state)

    def _head(self, token: object) -> dict[str, Any]:
        head = {"clientToken": token} if token is not None else {}
        return {**head, "timestamp": self._store.now()}


def _number(body: Mapping[str, Any], name: str) -> int | None:
    """AWS takes a number that is written as a string."""
    value = body.get(name)
    return None if value is None else int(value)

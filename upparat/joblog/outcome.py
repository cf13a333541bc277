"""What the answer to an upload means."""

from __future__ import annotations

from enum import Enum, auto

_MAYBE_LATER = (408, 425, 429)
"""Statuses of an error of the client that may be none later."""


class UploadFailed(Exception):
    """The upload got no answer; the message says why, without the URL."""


class UploadOutcome(Enum):
    """How one attempt at an upload ends."""

    DONE = auto()
    LATER = auto()
    """Another attempt may help."""

    REFUSED = auto()
    """No other attempt helps: the URL has expired, or the role that has signed it may not write."""


def interpret_status(status: int) -> UploadOutcome:
    """Tell from the HTTP status how an attempt ended. Redirects are not followed, because they
    would break the signature."""
    if 200 <= status < 300:
        return UploadOutcome.DONE
    if status >= 500 or status in _MAYBE_LATER:
        return UploadOutcome.LATER
    return UploadOutcome.REFUSED

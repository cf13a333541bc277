"""Makes text of any origin safe for AWS's status values and for one line of a log."""

from __future__ import annotations

import re
import unicodedata

STATUS_VALUE_LENGTH = 1024
"""The most characters that AWS takes as a value of ``statusDetails``."""

# ECMA-48: CSI sequences, OSC and other string sequences up to their terminator, two-byte escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)


def printable(text: str) -> str:
    """``text`` as one line without escape sequences or characters of Unicode category C.

    White space and control characters become single spaces, so that words do not run together;
    invisible format characters, surrogates and unassigned code points are dropped.
    """
    kept = map(_one_line, _ESCAPES.sub("", text))
    return " ".join("".join(kept).split())


def _one_line(char: str) -> str:
    category = unicodedata.category(char)
    if char.isspace() or category == "Cc":
        return " "
    return "" if category.startswith("C") else char


def status_value(text: str) -> str:
    """``text`` as a value of ``statusDetails``: 1,024 characters of ``[^\\p{C}]``, perhaps empty.

    A longer text keeps its end, where a command says what went wrong.
    """
    safe = printable(text)
    if len(safe) <= STATUS_VALUE_LENGTH:
        return safe
    return "…" + safe[-(STATUS_VALUE_LENGTH - 1) :]


def ascii_value(text: str) -> str:
    """A status value in ASCII alone, in case AWS knows a character as unassigned that we do not."""
    return re.sub(r"[^\x20-\x7e]", "?", text)


def without_query(url: str) -> str:
    """``url`` without user info, query and fragment, where pre-signed URLs keep their secrets."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return printable(re.sub(r"//[^/]*@", "//", bare))

"""Makes text of any origin safe for status values of AWS and for one line of a log."""

from __future__ import annotations

import re
import unicodedata

STATUS_VALUE_LENGTH = 1024
"""The longest value of ``statusDetails`` that AWS accepts, in characters."""

# ECMA-48: CSI sequences, OSC and other string sequences up to their terminator, two-byte escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)


def printable(text: str) -> str:
    """Make ``text`` one line without escape sequences or characters of Unicode category C.

    White space and control characters become single spaces, because words must not run together.
    Invisible format characters, surrogates and unassigned code points are dropped.
    """
    if not text.isprintable():  # most is, and a hook may print megabytes
        text = "".join(map(_one_line, _ESCAPES.sub("", text)))
    return " ".join(text.split())


def _one_line(char: str) -> str:
    category = unicodedata.category(char)
    if char.isspace() or category == "Cc":
        return " "
    return "" if category.startswith("C") else char


def status_value(text: str) -> str:
    """Make ``text`` a value of ``statusDetails``: at most 1,024 characters of ``[^\\p{C}]``.

    The result may be empty. A longer text keeps its end, because commands print their errors last.
    """
    safe = printable(text)
    if len(safe) <= STATUS_VALUE_LENGTH:
        return safe
    return "…" + safe[-(STATUS_VALUE_LENGTH - 1) :]


def ascii_value(text: str) -> str:
    """A status value in ASCII alone, in case AWS knows a character as unassigned that we do not."""
    return re.sub(r"[^\x20-\x7e]", "?", text)


def without_query(url: str) -> str:
    """Remove user info, query and fragment from ``url``, because they may hold secrets."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return printable(re.sub(r"//[^/]*@", "//", bare))

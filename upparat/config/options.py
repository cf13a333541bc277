"""Options: each kind reads a text, checks the value, and documents itself.

The helpers make fields of a frozen dataclass::

    retry_interval: float = seconds(60, "From one run until the next.")

The default, the bounds, the unit and the line of documentation stand there and nowhere else.
"""

from __future__ import annotations

import configparser
import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

_Value = TypeVar("_Value")
_Choice = TypeVar("_Choice", bound=str)
_OPTIONS = "options"


def _same(text: str) -> str:
    return text


def _right(_: Any) -> str:
    return ""


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of the file.

    ``parse`` makes the value of a text that is not empty, or raises ``ValueError`` with the
    problem. ``wrong`` returns the problem of a value, or an empty string.
    ``shown`` is the default, as Markdown. ``bounds`` ends the documentation.
    """

    doc: str
    shown: str = ""
    unit: str = ""
    bounds: str = ""
    parse: Callable[[str], Any] = _same
    wrong: Callable[[Any], str] = _right

    @property
    def meaning(self) -> str:
        return f"{self.doc} {self.bounds}." if self.bounds else self.doc


def options_of(section: type[Any]) -> dict[str, Option]:
    """The options of a section by name: one for most fields, several for some."""
    found: dict[str, Option] = {}
    for field in dataclasses.fields(section):
        found.update({name or field.name: each for name, each in field.metadata[_OPTIONS].items()})
    return found


# --- plain options: the value comes from the text alone ------------------------------------------


def text(default: str, doc: str, *, secret: bool = False) -> str:
    return _field(default, Option(doc, shown(default)), secret=secret)


def path(doc: str) -> str:
    """The absolute path of a file; empty by default."""
    return _field("", Option(doc, parse=os.path.abspath))


def pattern(default: str, doc: str, allowed: str, whose: str, *, shows: str = "") -> str:
    """A text of the characters that ``allowed`` admits; ``whose`` names them in the problem."""

    def wrong(value: str) -> str:
        problem = f"{value!r} holds other characters than those {whose}"
        return "" if re.fullmatch(allowed, value) else problem

    return _field(default, Option(doc, shows or shown(default), wrong=wrong))


def whole(default: int, doc: str, *, least: int, most: int | None = None, unit: str = "") -> int:
    bounds = f"{least} or more" if most is None else f"{least} to {most}"

    def parse(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None

    def wrong(value: int) -> str:
        fits = least <= value and (most is None or value <= most)
        return "" if fits else f"must be {bounds}, not {value}"

    return _field(default, Option(doc, shown(default), unit, bounds, parse, wrong))


def permissions(default: str, doc: str) -> str:
    """The permissions of a file, as ``chmod`` takes them."""

    def wrong(value: str) -> str:
        fits = re.fullmatch("0?[0-7]{3}", value)
        return "" if fits else f"{value!r} is no mode of three octal digits"

    return _field(default, Option(doc, shown(default), "octal", wrong=wrong))


def seconds(default: float, doc: str, *, least: float = 0.0) -> float:
    return _field(default, seconds_option(doc, shown(default), least=least))


def seconds_option(doc: str, shows: str, *, least: float = 0.0, bounds: bool = True) -> Option:
    """A number of seconds; ``bounds``: whether the documentation repeats them."""

    def parse(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number of seconds") from None

    def wrong(value: float) -> str:
        fits = least <= value < math.inf
        return "" if fits else f"must be {least:g} seconds or more, not {value:g}"

    return Option(doc, shows, "seconds", f"{least:g} or more" if bounds else "", parse, wrong)


def flag(default: bool, doc: str) -> bool:
    states = configparser.ConfigParser.BOOLEAN_STATES

    def parse(text: str) -> bool:
        if text.lower() not in states:
            raise ValueError(f"{text!r} is neither yes nor no")
        return states[text.lower()]

    return _field(default, Option(doc, shown(default), parse=parse))


def choice(default: _Choice, doc: str, among: Sequence[_Choice] = ()) -> _Choice:
    """One of some words, in upper or lower case: of ``among``, or of the enumeration."""
    words: Sequence[_Choice] = among or tuple(type(default))  # type: ignore[arg-type]
    by_text: Mapping[str, _Choice] = {word.lower(): word for word in words}

    def parse(text: str) -> _Choice:
        if text.lower() not in by_text:
            typed = text.upper() if default.isupper() else text
            raise ValueError(f"{typed!r} is none of {', '.join(words)}")
        return by_text[text.lower()]

    return _field(default, Option(doc, shown(default), parse=parse))


# --- options that the reader makes with others, or with the file system --------------------------


def own(default: _Value, doc: str, shows: str = "") -> _Value:
    """An option that the reader has a function for."""
    return _field(default, Option(doc, shows))


def several(make: Callable[[], _Value], options: Mapping[str, Option]) -> _Value:
    """A value that the reader makes of options with other names; ``make`` makes the default."""
    return dataclasses.field(default_factory=make, metadata={_OPTIONS: options})


def alias(doc: str, name: str, also: str) -> str:
    """A secret text with a second name; ``also`` documents that one."""
    return _field("", Option(doc), secret=True, more={name: Option(also)})


def shown(default: object) -> str:
    """A default as the documentation writes it."""
    if isinstance(default, bool):
        return "`yes`" if default else "`no`"
    written = f"{default:g}" if isinstance(default, int | float) else str(default)
    return f"`{written}`" if written else ""


def _field(
    default: _Value,
    option: Option,
    *,
    secret: bool = False,
    more: Mapping[str, Option] | None = None,
) -> _Value:
    options = {"": option, **(more or {})}
    return dataclasses.field(default=default, repr=not secret, metadata={_OPTIONS: options})

"""The options of an INI file: reads any plain option, and collects the problems of all."""

from __future__ import annotations

import configparser
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .options import Option, options_of

_Value = TypeVar("_Value")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A problem of an option, or of a section as a whole.

    :ivar unknown: whether no section of the file may have this option, or the file this section.
    :ivar meant: the known name that an unknown one resembles.
    """

    section: str
    option: str
    what: str
    unknown: bool = False
    meant: str = ""

    def __str__(self) -> str:
        name = f"[{self.section}] {self.option}".rstrip()
        return f"{name}: {self.what}"


class Ini:
    """Reads options by section and name; ``kinds`` are the settings of each section.

    A problem is reported and the default taken, so that the next options are read as well.
    """

    def __init__(self, parser: configparser.ConfigParser, kinds: Mapping[str, type[Any]]) -> None:
        self.parser = parser
        self.present = parser.sections()
        for name in kinds:  # so that [DEFAULT] holds for a section that is not in the file as well
            if not parser.has_section(name):
                parser.add_section(name)
        self.problems: list[Problem] = []
        self.options: Mapping[str, Mapping[str, Option]] = {
            name: options_of(kind) for name, kind in kinds.items()
        }

    def problem(self, section: str, option: str, what: str) -> None:
        """Report a problem once: some options are read twice."""
        self._report(Problem(section, option, what))

    def _report(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def text(self, section: str, option: str, default: str = "") -> str:
        """The text of an option, or the default where the option is missing or empty."""
        try:
            return self.parser.get(section, option, fallback="").strip() or default
        except configparser.InterpolationError:
            self.problem(section, option, "a % must be written as %%")
            return default

    def value(self, section: str, name: str, default: _Value) -> _Value:
        """The value of a plain option."""
        option, text = self.options[section][name], self.text(section, name)
        value = self.attempt(section, name, option.parse, text, default) if text else default
        if problem := option.wrong(value):
            self.problem(section, name, problem)
            return default
        return value

    def section(self, kind: type[_Value], name: str, **made: Callable[[], object]) -> _Value:
        """A section, field by field: made by a function, or read as a plain option."""
        values: dict[str, object] = {}
        fields: Iterable[dataclasses.Field[Any]] = dataclasses.fields(kind)  # type: ignore[arg-type]
        for field in fields:
            make = made.get(field.name)
            values[field.name] = make() if make else self.value(name, field.name, field.default)
        return kind(**values)

    def attempt(
        self, section: str, option: str, make: Callable[[str], Any], text: str, default: _Value
    ) -> _Value:
        """The value that a function makes of a text; the default and a problem if it cannot."""
        try:
            value: _Value = make(text)
        except ValueError as error:
            self.problem(section, option, str(error))
            return default
        return value

    def passes(self, section: str, option: str, check: Callable[..., object], *args: Any) -> bool:
        """Whether a check passes; if not, its problem is reported."""
        try:
            check(*args)
        except ValueError as error:
            self.problem(section, option, str(error))
            return False
        return True

    def unknown(self) -> None:
        """Report what no section knows: a misspelt option must not mean its default."""
        for section in self.present:
            if section not in self.options:
                self._unknown(section, "", "unknown section", section, self.options)
                continue
            mentioned = set(self.parser[section]) - set(self.parser.defaults())
            for option in sorted(mentioned - self.options[section].keys()):
                self._unknown(section, option, "unknown option", option, self.options[section])

    def _unknown(
        self, section: str, option: str, what: str, word: str, known: Iterable[str]
    ) -> None:
        meant = _meant(word, known)
        hint = f", did you mean {meant}?" if meant else ""
        self._report(Problem(section, option, what + hint, unknown=True, meant=meant))


def _meant(word: str, known: Iterable[str]) -> str:
    """The known word that this one resembles; empty if there is none."""
    import difflib  # slow, and needed only for a wrong file

    return next(iter(difflib.get_close_matches(word.lower(), list(known), n=1)), "")

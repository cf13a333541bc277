"""Text as ``man`` reads it, of the few kinds of Markdown that docs/configuration.md has."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLOCK = re.compile(
    r"(?P<heading>#+ .*\n)|(?P<code>```(?s:.*?)\n```\n)|(?P<table>(?:\|.*\n)+)"
    r"|(?P<list>(?:- .*\n(?:  .*\n)*)+)|(?P<text>(?:(?![#|>-]|```).+\n)+)|\n"
)
_INLINE = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|\[((?:[^\]\\]|\\.)+)\]\([^)]*\)|\\([\[\]])")


def literal(text: str) -> str:
    """Escape a text, so that it stands on the page as it is, and can be copied from it."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("^", r"\(ha")
    escaped = escaped.replace("~", r"\(ti").replace("'", r"\(aq").replace("`", r"\(ga")
    return "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)


def bold(text: str) -> str:
    return rf"\fB{literal(text)}\fR"


def prose(markdown: str) -> str:
    """Set a paragraph: code and names in bold, and links without their address."""
    parts, end = [], 0
    text = " ".join(markdown.split())
    for match in _INLINE.finditer(text):
        parts += [literal(text[end : match.start()]), _inline(match)]
        end = match.end()
    set_text = "".join([*parts, literal(text[end:])])
    return rf"\&{set_text}" if set_text.startswith(".") else set_text


def _inline(match: re.Match[str]) -> str:
    code, strong, link, bracket = match.groups()
    return prose(link) if link else literal(bracket) if bracket else bold(code or strong)


def tagged(tag: str, text: str) -> str:
    """A paragraph with a tag, both of them roff already."""
    return f".TP\n{tag}\n{text}\n"


def page(markdown: str) -> str:
    """Set a Markdown page without its title: sections, lists, tables of options, code."""
    return "".join(_blocks(markdown))


def _blocks(markdown: str) -> Iterator[str]:
    end = 0
    for match in _BLOCK.finditer(markdown):
        if match.start() != end:
            raise ValueError(f"no rule for {markdown[end : match.start()]!r}")
        end = match.end()
        if match.lastgroup:
            yield _SETTERS[match.lastgroup](match[0].strip("\n"))
    if end != len(markdown):
        raise ValueError(f"no rule for {markdown[end:]!r}")


def _heading(text: str) -> str:
    depth, _, title = text.partition(" ")
    return {1: "", 2: f'.SH "{literal(title)}"\n'}.get(len(depth), f'.SS "{literal(title)}"\n')


def _code(text: str) -> str:
    lines = text.split("\n")[1:-1]
    return "\n".join([".PP", ".RS 4", ".EX", *map(literal, lines), ".EE", ".RE", ""])


def _list(text: str) -> str:
    items = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
    return "".join(f".IP \\(bu 2\n{prose(item)}\n" for item in items)


def _text(text: str) -> str:
    return f".PP\n{prose(text)}\n"


def _table(text: str) -> str:
    """A row becomes a paragraph with the option as its tag."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.split("\n")[2:]]
    return "".join(tagged(prose(row[0]), _meaning(*row[1:])) for row in rows)


def _meaning(default: str, unit: str, meaning: str) -> str:
    # A default in words has no unit, and names no value.
    told = f" Default: {default}{f' {unit}' * bool(unit)}." if default else ""
    return prose(meaning + told)


_SETTERS = {"heading": _heading, "code": _code, "table": _table, "list": _list, "text": _text}

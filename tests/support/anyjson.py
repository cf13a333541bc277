"""Hypothesis strategies for whatever JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

RELAXED = settings()
"""For properties: the profile of ``tests/unit/__init__.py``."""


def _paired(text: str) -> str:
    """Two halves of a character side by side are that character, in JSON."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


TEXTS = st.text(st.characters(exclude_categories=()), max_size=30).map(_paired)
"""Strings with control characters, lone surrogates (which JSON can hold) and the rest."""

ODD: tuple[Any, ...] = (None, "", [], {})
"""Values that are nothing, each of another type."""

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS

ANY_JSON: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def objects(**likely: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """Objects with some of these members, each likely or anything, and perhaps other ones."""
    members: Mapping[str, st.SearchStrategy[object]] = {
        name: values | ANY_JSON for name, values in likely.items()
    }
    known = st.fixed_dictionaries({}, optional=dict(members))
    others = st.dictionaries(TEXTS, ANY_JSON, max_size=2)
    return st.builds(lambda one, other: {**other, **one}, known, others)

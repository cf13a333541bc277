"""The site of the documentation, by Sphinx: ``make docs``.

Its pages are the Markdown files of the repository where they are, so that their links work in both
places. The README is the first page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
VERSION = re.compile(r'__version__ = "(.*)"')

project = "Upparat"
[release] = VERSION.findall((ROOT / "upparat/__init__.py").read_text(encoding="utf-8"))
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "examples/*.md", "tests/simulator/*.md"]
nitpicky = True

# Anchors are those of GitHub, down to the third level.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"Upparat {release}"
html_copy_source = False

NAVIGATION = {
    "Tutorial": ["docs/tutorial"],
    "How to": [
        "docs/install",
        "docs/aws",
        "docs/publish",
        "docs/fleet",
        "docs/consent",
        "docs/offline",
        "docs/signing",
        "docs/delta",
        "docs/installers",
        "docs/doctor",
    ],
    "Reference": [
        "docs/configuration",
        "docs/hooks",
        "docs/jobs",
        "docs/joblog",
        "docs/control",
        "docs/page",
        "docs/faults",
        "examples/README",
        "CHANGELOG",
    ],
    "Explanation": ["docs/design", "docs/security", "docs/benchmarks"],
    "Development": ["CONTRIBUTING", "tests/simulator/README", "docs/device"],
}
"""Every page but the first, in order. A page that is missing here fails the build."""

TOCTREE = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""


def add_navigation(app: object, page: str, source: list[str]) -> None:
    """Put the navigation at the end of the first page; its file is free of Sphinx."""
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            source[0] += TOCTREE.format(caption=caption, pages="\n".join(pages))


def write_index(app: Any, error: Exception | None) -> None:
    """Lead from the site's address to its first page."""
    redirect = f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
    Path(app.outdir, "index.html").write_text(redirect, encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("source-read", add_navigation)
    app.connect("build-finished", write_index)

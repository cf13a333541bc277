"""``make test`` plays a fixed part of what has many cases; ``make sweep`` plays all of it."""

from __future__ import annotations

import os

SWEEP = os.environ.get("UPPARAT_SWEEP") == "1"
"""Whether all cases are played, and chance may choose among those that have no end."""
LONG = SWEEP or os.environ.get("UPPARAT_LONG") == "1"
"""Whether the tests are run that take long."""
EXAMPLES = int(os.environ.get("UPPARAT_CASES", "1000" if SWEEP else "50"))
"""Examples of each property; the same ones with every run unless all cases are played."""

"""The reactor of the test run. Its type depends on the platform, so that nobody can state it."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor

reactor: Any = _reactor

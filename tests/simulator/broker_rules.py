"""What AWS's broker would refuse of a client, read from the log of a mosquitto that logs all."""

from __future__ import annotations

import re

MAX_FILTERS = 8
KEEP_ALIVE = range(30, 1201)

_CONNECTED = re.compile(r"New client connected from \S+ as (\S+) \(p\d+, c\d, k(\d+)")
_SUBSCRIBE = re.compile(r"Received SUBSCRIBE from (\S+)$")
_FILTER = re.compile(r"\t(\S+) \(QoS (\d)\)")


def broker_breaches(log: str, client_id: str, thing: str) -> list[str]:
    """Keep-alives that AWS changes, and subscriptions that it would close the connection for."""
    breaches = []
    for keep_alive in _keep_alives(log, client_id):
        if keep_alive not in KEEP_ALIVE:
            breaches.append(f"a keep-alive of {keep_alive} s")
    for filters in subscriptions(log, client_id):
        if len(filters) > MAX_FILTERS:
            breaches.append(f"{len(filters)} filters in one SUBSCRIBE")
        breaches += [what for each in filters for what in _filter_breaches(*each, thing)]
    return breaches


def subscriptions(log: str, client_id: str) -> list[list[tuple[str, int]]]:
    """The filters of each SUBSCRIBE with their QoS."""
    found: list[list[tuple[str, int]]] = []
    current: list[tuple[str, int]] | None = None
    for line in log.splitlines():
        if match := _SUBSCRIBE.search(line):
            current = [] if match[1] == client_id else None
            if current is not None:
                found.append(current)
        elif current is not None and (match := _FILTER.search(line)):
            current.append((match[1], int(match[2])))
        else:
            current = None
    return found


def _keep_alives(log: str, client_id: str) -> list[int]:
    return [int(match[2]) for match in _CONNECTED.finditer(log) if match[1] == client_id]


def _filter_breaches(topic_filter: str, qos: int, thing: str) -> list[str]:
    breaches = []
    if qos > 1:
        breaches.append(f"{topic_filter} with QoS {qos}")
    shadow = f"$aws/things/{thing}/shadow/name/$package/update/"
    if not topic_filter.startswith((f"$aws/things/{thing}/jobs/", shadow)):
        breaches.append(f"no policy allows the filter {topic_filter}")
    return breaches

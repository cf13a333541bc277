"""The inputs that each state ignores: they complete the table.

A state ignores late events of work that was stopped, repeated messages of AWS, and decisions that
another event has overtaken. Each state names the inputs that it takes, and ignores all others.

Late events of the ports are turned away by the :class:`Door`, and are not in Automat's own table:
it compares each new transition with all others, which took a tenth of the time of a start.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction

from .model import Inputs
from .states import (
    WORKING,
    cleanup,
    fetch_jobs,
    hold,
    idle,
    monitor,
    rollback,
    select_job,
    stopped,
    wind_down,
)

_Input = Callable[..., None]

LATE: tuple[_Input, ...] = tuple(
    member
    for protocol in reversed(Inputs.__mro__)
    for name, member in vars(protocol).items()
    if isfunction(member) and not name.startswith("__") and name != "stop"
)
"""Every input but ``stop``: each may come too late, or twice."""


def _but(*taken: _Input) -> tuple[_Input, ...]:
    return tuple(each for each in LATE if each not in taken)


_END = (Inputs.cancelled, Inputs.hook_failed, Inputs._finish, Inputs._abandon)

IGNORED: dict[str, tuple[_Input, ...]] = {
    # MQTT may be connected before the start, which fetches the jobs anyway.
    "idle": _but(Inputs.start, Inputs.cleaned, Inputs.hook_failed, Inputs._tidied),
    "fetch_jobs": _but(Inputs.changed, Inputs.pending, Inputs._wait, Inputs._select),
    "monitor": _but(Inputs.changed),
    "select_job": _but(
        Inputs.changed,
        Inputs.described,
        Inputs.describe_failed,
        Inputs._look,
        Inputs._fetch,
        Inputs._wait,
        Inputs._verify,
        Inputs._abandon,
    ),
    # With a job in hand a changed list does not matter: the list is fetched when the job has ended.
    "verify_job": _but(
        Inputs.version_known,
        Inputs._download,
        Inputs._restart,
        Inputs._check,
        Inputs._roll_back,
        Inputs._hold,
        *_END,
    ),
    "download": _but(
        Inputs.compatible,
        Inputs.download_allowed,
        Inputs.progressed,
        Inputs.downloaded,
        Inputs.stream_ready,
        Inputs.url_expired,
        Inputs.download_failed,
        Inputs.described,
        Inputs.describe_failed,
        Inputs.timeout,
        Inputs._install,
        Inputs._roll_back,
        Inputs._hold,
        *_END,
    ),
    "install": _but(
        Inputs.progressed,
        Inputs.url_expired,
        Inputs.download_failed,
        Inputs.described,
        Inputs.describe_failed,
        Inputs.timeout,
        Inputs.install_output,
        Inputs.installed,
        Inputs._restart,
        Inputs._roll_back,
        Inputs._hold,
        *_END,
    ),
    "restart": _but(
        Inputs.delivered,
        Inputs.undeliverable,
        Inputs.restarted,
        Inputs.timeout,
        Inputs._check,
        Inputs._roll_back,
        *_END,
    ),
    "verify_installation": _but(
        Inputs.version_known,
        Inputs.ready,
        Inputs.timeout,
        Inputs._restart,
        Inputs._roll_back,
        Inputs._hold,
        *_END,
    ),
    "hold": _but(
        Inputs.held,
        Inputs.permitted,
        Inputs.download_failed,
        Inputs.cancelled,
        Inputs._download,
        Inputs._install,
        Inputs._restart,
        Inputs._roll_back,
        Inputs._finish,
        Inputs._abandon,
    ),
    # A rollback is not taken back itself.
    "rollback": _but(
        Inputs.delivered,
        Inputs.undeliverable,
        Inputs.rolled_back,
        Inputs.restarted,
        Inputs.timeout,
        Inputs.version_known,
        Inputs.hook_failed,
        Inputs.cancelled,
        Inputs._finish,
        Inputs._clean_up,
    ),
    # The job is over: only the end of its hook counts, and the time for a restart.
    "wind_down": _but(Inputs.released, Inputs.timeout, Inputs._clean_up, Inputs._roll_back),
    "cleanup": _but(Inputs.cleaned, Inputs.hook_failed, Inputs._tidied),
    "stopped": (*LATE, Inputs.stop),
}
"""What each state ignores, by the state's name."""

_DECISIONS = {
    state: tuple(each for each in inputs if each.__name__.startswith("_"))
    for state, inputs in IGNORED.items()
}
_EVENTS = {
    state: frozenset(each.__name__ for each in inputs if each not in _DECISIONS[state])
    for state, inputs in IGNORED.items()
}

for _state in (idle, fetch_jobs, monitor, cleanup, stopped):
    for _input in _DECISIONS[_state.name]:
        _state.upon(_input).loop().returns(None)
for _working in (select_job, *WORKING, hold, rollback, wind_down):
    for _input in _DECISIONS[_working.name]:
        _working.upon(_input).loop().returns(None)


class Door:
    """The machine as the ports see it: it does not hear what its state ignores.

    :ivar state: the name of the machine's state.
    """

    def __init__(self, machine: Inputs) -> None:
        self._machine = machine
        self.state = "idle"

    def __getattr__(self, name: str) -> Callable[..., None]:
        tell = getattr(self._machine, name)

        def take(*details: object) -> None:
            if name not in _EVENTS[self.state]:
                tell(*details)

        return take

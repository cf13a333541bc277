"""The tally: counts what happens in the agent. It adds numbers, and needs no library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from upparat.hooks.journal import HookAttempts
from upparat.job import ExecutionKey, Hook, State
from upparat.machine import STATES
from upparat.machine.model import OTHERS
from upparat.mqtt.session import MqttSessionEvents
from upparat.snapshots import EndedJob

ENDS = (("", OTHERS), *((state.status.value, state.value) for state in State if state.status.ended))
"""The status and the state of each end that a job may have."""


class Tally:
    """Counts since the start of the agent. It also listens to the session with the broker.

    What has not happened yet has the count 0, because an alert on the first failure compares it
    with the count before.

    :param seconds: returns the time of a clock that never jumps.
    :param state: the first state of the machine.
    :ivar jobs: ended jobs by status and state; the status is empty if others have ended the job.
    :ivar hook_runs: runs of each hook.
    :ivar hook_retries: those runs that were not the first one for their job.
    """

    def __init__(self, seconds: Callable[[], float], state: str) -> None:
        self.jobs: Counter[tuple[str, str]] = Counter(dict.fromkeys(ENDS, 0))
        self.hook_runs: Counter[Hook] = Counter(dict.fromkeys(Hook, 0))
        self.hook_retries: Counter[Hook] = Counter(dict.fromkeys(Hook, 0))
        self.connections = 0
        self.disconnections = 0
        self.state = state
        self._seconds = seconds
        self._since = seconds()
        self._spent = dict.fromkeys(STATES, 0.0)

    @property
    def spent(self) -> dict[str, float]:
        """The seconds in each state of the machine, up to now."""
        here = self._spent.get(self.state, 0.0) + self._seconds() - self._since
        return {**self._spent, self.state: here}

    def moved(self, state: str) -> None:
        """Count the time in the old state; the machine is in this one now."""
        self._spent = self.spent
        self.state, self._since = state, self._seconds()

    def ended(self, job: EndedJob) -> None:
        """Count the end of a job."""
        self.jobs[job.status, job.state] += 1

    def counting(self, journal: HookAttempts) -> HookAttempts:
        """Return a journal of attempts that also counts the runs."""
        return CountedAttempts(journal, self)

    def ran(self, hook: Hook, retry: int) -> None:
        """Count a run of a hook; ``retry`` is 0 for the first run for a job."""
        self.hook_runs[hook] += 1
        if retry:
            self.hook_retries[hook] += 1

    # --- the session with the broker ---

    def connected(self) -> None:
        self.connections += 1

    def disconnected(self, reason: str) -> None:
        self.disconnections += 1

    def received(self, topic: str, payload: bytes) -> None:
        pass


class CountedAttempts:
    """Counts the runs of hooks on their way to the journal."""

    def __init__(self, journal: HookAttempts, tally: Tally) -> None:
        self._journal = journal
        self._tally = tally
        self.last_attempt = journal.last_attempt
        self.waiting = journal.waiting
        self.over = journal.over
        self.left = journal.left

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        self._tally.ran(hook, retry)
        self._journal.begun(key, hook, retry, elapsed)


def _hears(tally: Tally) -> MqttSessionEvents:
    return tally


def _is_a_journal(attempts: CountedAttempts) -> HookAttempts:
    return attempts

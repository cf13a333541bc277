"""The order of the steps, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from upparat.config.ini import Problem

from . import clock, configuration, disk, download, hooks, keys, mqtt, network, policy, systemd, tls
from .examination import Examination
from .finding import Finding, Level, failed, skipped

_LINE = ("host", "port", "proxy")
_MQTT = ("client_id", "username", "password", "keepalive")


@dataclass(frozen=True)
class Step:
    """One step.

    :ivar after: the steps that must not have failed.
    :ivar options: the options of ``[broker]`` that must not be wrong.
    """

    name: str
    examine: Callable[[Examination], Iterable[Finding]]
    after: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


STEPS = (
    Step("configuration", configuration.examine),
    Step("hooks", hooks.examine),
    Step("directories", disk.examine),
    Step("clock", clock.examine),
    Step("time zone", clock.examine_zone),
    Step("dns", network.look_up, options=_LINE),
    Step("tcp", network.reach, after=("dns",)),
    Step("proxy", network.pass_proxy, after=("tcp",)),
    Step("tls", tls.examine, after=("proxy",)),
    Step("mqtt", mqtt.connect, after=("tls",), options=_MQTT),
    Step("policy", policy.examine, after=("mqtt",), options=("thing_name",)),
    Step("jobs", mqtt.ask, after=("policy",)),
    Step("download", download.examine),
    Step("server time", clock.compare),
    Step("keys", keys.examine),
    Step("systemd", systemd.examine),
)


def run(examination: Examination, steps: Sequence[Step] = STEPS) -> Iterator[Finding]:
    """Take one step after the other. A step that cannot be taken is skipped, with the reason.

    Never raises: a fault of a step is a finding.
    """
    blocked: dict[str, str] = {}
    for step in steps:
        reason = _obstacle(step, examination, blocked)
        if reason:
            blocked[step.name] = reason
            yield skipped(step.name, reason)
            continue
        for finding in _taken(step, examination):
            if finding.level is Level.FAILED:
                blocked[step.name] = f"{step.name} failed"
            yield finding


def _obstacle(step: Step, examination: Examination, blocked: dict[str, str]) -> str:
    if examination.unreadable and step.examine is not configuration.examine:
        return "the configuration file cannot be read"
    if examination.left <= 0:
        return f"{examination.limits.total:.0f} s are over"
    for name in step.after:
        if name in blocked:
            return blocked[name]
    wrong = [each for each in examination.problems if _concerns(each, step.options)]
    return f"the configuration is wrong: {wrong[0]}" if wrong else ""


def _concerns(problem: Problem, options: tuple[str, ...]) -> bool:
    """Whether a problem leaves in doubt what an option of the broker's is to be."""
    if not problem.option:
        return problem.meant == "broker" and bool(options)
    return problem.section == "broker" and {problem.option, problem.meant} & {*options} != set()


def _taken(step: Step, examination: Examination) -> Iterator[Finding]:
    try:
        yield from step.examine(examination)
    except Exception as error:  # its text could hold a secret
        what = f"doctor cannot take this step: {type(error).__name__}"
        yield failed(step.name, what, "Report this fault")

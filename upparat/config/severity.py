"""What a problem of the configuration means for an agent that has to run.

The agent may be the only way to repair a device from afar, and a job may wait for its end. So it
starts with every file that leaves it a safe connection. Each other problem is an error in the log,
and in ``upparat check``. The option then has its default, or fails the job that needs it.
"""

from __future__ import annotations

from .ini import Problem

_DISPENSABLE = ("keepalive", "connect_timeout")
"""Options of ``[broker]`` whose defaults serve every broker."""

_TRUSTED = (
    ("download", "cafile"),
    ("download", "proxy"),
    ("hooks", "install_stream"),
    ("hooks", "install_url"),
)
"""Options whose defaults could bring a file from, or to, where it must not be."""


_CHOOSING = ("service", "job_id_prefix")
"""The option that says which jobs of AWS are the agent's."""

_GUARDING = ("verify", "policy")
"""Sections without which a file could be installed that must not be, or at a time when it must not
be."""


def refuses_start(problem: Problem) -> bool:
    """Whether the agent cannot connect safely, or could take the jobs of others.

    An unknown name that resembles none may be one of a newer agent, which has fallen back to this
    one. One that resembles a name of the broker's is misspelt: the connection would be another.
    """
    if problem.unknown:
        name = problem.section if problem.option else problem.meant
        return name == "broker" and bool(problem.meant)
    if problem.section == "broker":
        return problem.option not in _DISPENSABLE
    return (problem.section, problem.option) == _CHOOSING


def forbids_downloads(problem: Problem) -> bool:
    """Whether a file might be installed that the owner wants refused."""
    if problem.section in _GUARDING or (problem.section, problem.option) in _TRUSTED:
        return True
    return not problem.option and problem.meant in _GUARDING


def concerns_connection(problem: Problem) -> bool:
    """Whether only an agent that connects has the problem."""
    unknown_section = problem.unknown and not problem.option
    if (problem.meant if unknown_section else problem.section) == "broker":
        return True
    return (problem.section, problem.option) == _CHOOSING

"""The step that reads the configuration file as the agent would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from upparat.config.ini import Problem
from upparat.config.reader import ConfigError, survey
from upparat.config.settings import Settings
from upparat.config.severity import forbids_downloads, refuses_start
from upparat.job import Hook

from .examination import Examination
from .finding import Finding, failed, ok, warning
from .live import find_agent

NAME = "configuration"


def admit(path: str | None, thing_name: str = "", url: str = "") -> Examination:
    """Begin an examination with what the file says.

    :param path: the configuration file; without one the defaults are examined.
    :param url: the address of a file for the agent; empty if no download is to be tried.
    """
    shown = str(path or "")
    try:
        settings, problems = survey(path, thing_name)
    except ConfigError as error:
        return Examination(Settings(), unreadable=str(error), path=shown)
    agent = find_agent(settings.service.state_dir)
    return Examination(settings, problems, path=shown, url=url, agent=agent)


def examine(examination: Examination) -> Iterator[Finding]:
    """Every problem of the file, with what the agent does about it."""
    if examination.unreadable:
        remedy = "Mend the file; upparat check reads it again"
        yield failed(NAME, f"{examination.unreadable}: the agent does not start", remedy)
    elif not examination.problems:
        yield ok(NAME, f"{_shown(examination)} has no problem")
    for problem in examination.problems:
        yield _judged(problem)


def _shown(examination: Examination) -> str:
    return str(Path(examination.path).absolute()) if examination.path else "no file; the defaults"


def _judged(problem: Problem) -> Finding:
    remedy = "Mend this option"
    if refuses_start(problem):
        return failed(NAME, f"{problem}: the agent does not start", remedy)
    if forbids_downloads(problem):
        return failed(NAME, f"{problem}: every download fails", remedy)
    if problem.section == "hooks" and problem.option in set(Hook):
        return failed(NAME, f"{problem}: each job that needs this hook fails", remedy)
    return warning(NAME, f"{problem}: the agent starts all the same", remedy)

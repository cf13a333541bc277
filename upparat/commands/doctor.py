"""``upparat doctor``: tries what goes wrong in the field, and says what to do."""

from __future__ import annotations

import argparse
import json

from upparat import __version__
from upparat.doctor.configuration import admit
from upparat.doctor.finding import Finding, Level, exit_status
from upparat.doctor.steps import run as take_steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    parser.add_argument("-t", "--thing-name", default="", help="overrides [broker] thing_name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--url", default="", help="also try to download this file")


def run(arguments: argparse.Namespace) -> None:
    """Print the findings as they come. Exit with 0, with 1 after a warning, with 2 after a failure.

    Run it as the user of the agent.
    """
    findings = []
    for finding in take_steps(admit(arguments.config, arguments.thing_name, arguments.url)):
        findings.append(finding)
        if not arguments.json:
            print(finding, flush=True)
    status = exit_status(findings)
    print(report(findings, status) if arguments.json else _summary(findings))
    raise SystemExit(status)


def report(findings: list[Finding], status: int) -> str:
    """The findings as JSON."""
    members = [
        {
            "name": finding.name,
            "level": finding.level.value,
            "meaning": finding.meaning,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    return json.dumps({"version": __version__, "status": status, "findings": members}, indent=2)


def _summary(findings: list[Finding]) -> str:
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    return ", ".join(f"{count} {level}" for level, count in counts.items())

"""The manual pages: ``upparat(1)`` and ``upparat.conf(5)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from upparat import __version__

from .roff import bold, literal, page, prose, tagged
from .verbs import Argument, VerbReference

_ABOUT = (
    "The agent follows AWS IoT Jobs over MQTT. It downloads the file that a job names, verifies "
    "it, runs the owner's hooks to install it and to restart, and reports each step to the job. "
    "Without a verb the command runs the agent."
)
_FILES = {
    "/etc/upparat/upparat.conf": "The configuration file of the service. Other agents name theirs "
    "with `-c`.",
    "/var/lib/upparat": "The downloads and the state of the service.",
    "/run/upparat/control.sock": "The control socket of an agent that runs as root.",
}
_STATUS = {
    "0": "Success. An agent that was stopped by SIGTERM or SIGINT ends so too.",
    "1": "`upparat doctor` has a warning.",
    "2": "The arguments or the configuration have a problem, or `upparat doctor` found a failure.",
    "69": "No agent answers at the control socket.",
    "75": "Another agent has the directories of this one.",
}


def command_page(verbs: Sequence[VerbReference]) -> str:
    """The page of the command, with a section for each verb."""
    return "".join(
        [
            _head("UPPARAT", "1", "User Commands"),
            _section(
                "NAME", r"upparat \- follow AWS IoT Jobs and install the updates that they name"
            ),
            _section("SYNOPSIS", "\n.br\n".join(map(_synopsis, verbs))),
            _section("DESCRIPTION", prose(_ABOUT)),
            ".SH VERBS\n",
            *map(_verb, verbs),
            ".SH FILES\n",
            *_tagged(_FILES),
            ".SH EXIT STATUS\n",
            *_tagged(_STATUS),
            _section("SEE ALSO", r".BR upparat.conf (5)"),
        ]
    )


def configuration_page(markdown: str) -> str:
    """The page of the configuration file.

    :param markdown: docs/configuration.md, whose tables are those of the settings.
    """
    title, _, rest = markdown.partition("\n\n")
    about, _, sections = rest.partition("\n## ")
    return "".join(
        [
            _head("UPPARAT.CONF", "5", "File Formats"),
            _section("NAME", r"upparat.conf \- the configuration file of upparat"),
            ".SH DESCRIPTION\n",
            page(f"{title}\n\n{about}\n"),
            page(f"## {sections}"),
            _section("SEE ALSO", ".BR upparat (1)\n.PP\n" + prose(_SEE)),
        ]
    )


_SEE = "The pages that are named here are in `/usr/share/doc/upparat`."


def _head(name: str, section: str, kind: str) -> str:
    # No date: two builds of the same source are the same bytes.
    return f'.TH {name} {section} "" "upparat {literal(__version__)}" "{kind}"\n.nh\n.ad l\n'


def _section(title: str, text: str) -> str:
    return f".SH {title}\n{text}\n"


def _tagged(rows: dict[str, str]) -> Iterable[str]:
    return (tagged(bold(name), prose(text)) for name, text in rows.items())


def _synopsis(verb: VerbReference) -> str:
    words = (_word(argument) for argument in verb.arguments if "--help" not in argument.flags)
    name = "[\\fBrun\\fR]" if verb.name == "run" else bold(verb.name)
    return " ".join([bold("upparat"), name, *words])


def _word(argument: Argument) -> str:
    word = _spelt(argument.flags[:1], argument.value)
    return word if argument.required else f"[{word}]"


def _verb(verb: VerbReference) -> str:
    arguments = (tagged(_tag(each), prose(_sentence(each.help))) for each in verb.arguments)
    return f'.SS "{literal(f"upparat {verb.name}")}"\n{prose(verb.help)}\n{"".join(arguments)}'


def _tag(argument: Argument) -> str:
    return _spelt(argument.flags, argument.value)


def _spelt(flags: Sequence[str], value: str) -> str:
    names = ", ".join(map(bold, flags))
    return " ".join(filter(None, [names, rf"\fI{literal(value)}\fR" if value else ""]))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

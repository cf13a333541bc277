"""The completions of ``upparat`` for bash, zsh and fish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .verbs import Argument, VerbReference

# --- bash -----------------------------------------------------------------------------------------

_BASH = """\
# bash completion for upparat
_upparat()
{{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}
    local flags files values operands=
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    COMPREPLY=()
    if [[ " $files " == *" $prev "* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ " $values " == *" $prev "* ]]; then
        return
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
    elif ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "{verbs}" -- "$cur")
    elif [[ $operands ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}}
complete -o filenames -F _upparat upparat
"""


def bash(verbs: Sequence[VerbReference]) -> str:
    """Without a verb the arguments are those of ``run``, as for the command itself."""
    cases = [_case(verb.name, verb) for verb in verbs if verb.name != "run"]
    cases += [_case("*", verb) for verb in verbs if verb.name == "run"]
    return _BASH.format(cases="\n".join(cases), verbs=" ".join(verb.name for verb in verbs))


def _case(pattern: str, verb: VerbReference) -> str:
    taking = [each for each in verb.arguments if each.flags and each.value]
    facts = {
        "flags": _flags(verb.arguments),
        "files": _flags([each for each in taking if each.is_file]),
        "values": _flags([each for each in taking if not each.is_file]),
        "operands": "files" * any(each.is_file and not each.flags for each in verb.arguments),
    }
    lines = [f"            {name}='{value}'" for name, value in facts.items() if value]
    missing = [f"            {name}=" for name in ("files", "values") if not facts[name]]
    return "\n".join([f"        {pattern})", *lines, *missing, "            ;;"])


def _flags(arguments: Sequence[Argument]) -> str:
    return " ".join(flag for each in arguments for flag in each.flags)


# --- zsh ------------------------------------------------------------------------------------------

_ZSH = """\
#compdef upparat

_upparat() {{
    local -a verbs=(
{verbs}
    )
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _describe verb verbs
        return
    fi
    case $words[2] in
{cases}
    esac
}}

_upparat "$@"
"""


def zsh(verbs: Sequence[VerbReference]) -> str:
    lines = [f"        {_quoted(f'{verb.name}:{verb.help}')}" for verb in verbs]
    cases = [_zsh_case(verb.name, verb) for verb in verbs if verb.name != "run"]
    cases += [_zsh_case("*", verb) for verb in verbs if verb.name == "run"]
    return _ZSH.format(verbs="\n".join(lines), cases="\n".join(cases))


def _zsh_case(pattern: str, verb: VerbReference) -> str:
    specs = [spec for each in verb.arguments for spec in _zsh_specs(each)]
    shift = "" if pattern == "*" else "            shift words; (( CURRENT-- ))\n"
    body = " \\\n                ".join(["_arguments", *specs])
    return f"        {pattern})\n{shift}            {body} ;;"


def _zsh_specs(argument: Argument) -> Iterator[str]:
    """One spec for each flag, which excludes the others that mean the same."""
    action = "_files" if argument.is_file else ""
    told = argument.help.replace("[", r"\[").replace("]", r"\]").replace(":", r"\:")
    value = f":{argument.value}:{action}" if argument.value else ""
    for flag in argument.flags:
        yield _quoted(f"({' '.join(argument.flags)}){flag}[{told}]{value}")
    if not argument.flags:
        yield _quoted(f"::{argument.value}:{action}")


# --- fish -----------------------------------------------------------------------------------------


def fish(verbs: Sequence[VerbReference]) -> str:
    names = " ".join(verb.name for verb in verbs)
    none = f"not __fish_seen_subcommand_from {names}"
    lines = ["# fish completion for upparat", "complete -c upparat -f"]
    for verb in verbs:
        lines.append(f"complete -c upparat -n '{none}' -a {verb.name} -d {_quoted(verb.help)}")
    for verb in verbs:
        seen = f"__fish_seen_subcommand_from {verb.name}"
        condition = f"{seen}; or {none}" if verb.name == "run" else seen
        lines += [
            f"complete -c upparat -n '{condition}' {_fish_words(each)}" for each in verb.arguments
        ]
    return "\n".join([*lines, ""])


def _fish_words(argument: Argument) -> str:
    words = [_fish_flag(flag) for flag in argument.flags]
    if argument.flags and argument.value:
        words.append("-r")
    if argument.is_file:
        words.append("-F")
    return " ".join([*words, f"-d {_quoted(argument.help)}"])


def _fish_flag(flag: str) -> str:
    return f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"


def _quoted(text: str) -> str:
    """Quote a text for zsh and fish: in single quotes, with those within outside of them."""
    return "'" + text.replace("'", "'\\''") + "'"

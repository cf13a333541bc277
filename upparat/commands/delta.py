"""``upparat delta``: makes the zchunk file of a file, and says what an update by it would cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from upparat.delta.header import DeltaError
from upparat.delta.local import Cost, cost, header_of, make, read_header


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="make|info")
    making = verbs.add_parser("make", help="make the zchunk file (.zck) of a file")
    making.add_argument("file", type=Path, help="the file that the job names")
    making.add_argument(
        "--output", "-o", type=Path, required=True, help="the zchunk file for the URL in delta"
    )
    info = verbs.add_parser("info", help="say what an update from one file to another would cost")
    info.add_argument("old", type=Path, help="the file that devices have, or its zchunk file")
    info.add_argument("new", type=Path, help="the zchunk file of the new one")


def run(arguments: argparse.Namespace) -> None:
    """Make the file, or print the cost.

    :raises argparse.ArgumentError: if a file cannot be used, or the program ``zck`` is missing.
    """
    try:
        lines = _make(arguments) if arguments.verb == "make" else _info(arguments)
    except DeltaError as problem:
        raise argparse.ArgumentError(None, str(problem)) from None
    except OSError as error:
        raise argparse.ArgumentError(None, f"{error.filename}: {error.strerror}") from None
    print("\n".join(lines))


def _make(arguments: argparse.Namespace) -> list[str]:
    header = make(arguments.file, arguments.output)
    share = _share(header.total, header.size)
    return [f"{arguments.output}: {header.total} bytes in {len(header.chunks)} chunks{share}"]


def _info(arguments: argparse.Namespace) -> list[str]:
    new = read_header(arguments.new)
    with header_of(arguments.old) as old:
        return _lines(cost(old, new))


def _lines(cost: Cost) -> list[str]:
    total = cost.fetched + cost.header
    return [
        f"{cost.new} of {cost.chunks} chunks are new",
        f"{cost.fetched} bytes in {cost.ranges} ranges, and {cost.header} bytes of header",
        f"{total} bytes in all{_share(total, cost.size)}",
    ]


def _share(part: int, whole: int) -> str:
    return f": {100 * part / whole:.1f} % of the {whole} bytes of the file" if whole else ""

"""``upparat sign``: print the keys of a job document that prove whose file it is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from upparat.signing.command import document, load_private_key


def main(argv: Sequence[str]) -> None:
    """Print the keys as JSON; exit with 2 and the reason if that cannot be."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        key = load_private_key(arguments.key)
        made = document(key, arguments.file, arguments.version)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(made, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="upparat sign",
        description="Sign a file and its version, and print what goes into the job document.",
    )
    parser.add_argument("--key", "-k", type=Path, required=True, help="the private key (PEM)")
    parser.add_argument("--version", required=True, help="the version that the file installs")
    parser.add_argument("file", type=Path, help="the file that the job names")
    return parser

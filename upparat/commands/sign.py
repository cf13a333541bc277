"""``upparat sign``: prints the members of a job document that prove who made the file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from upparat.signing.command import document, load_private_key

from .product import product


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", "-k", type=Path, required=True, help="the private key (PEM)")
    parser.add_argument("--version", required=True, help="the version that the file installs")
    parser.add_argument("--product", type=product, help="the product that the file is for")
    parser.add_argument("file", type=Path, help="the file that the job names")


def run(arguments: argparse.Namespace) -> None:
    """Print the members as JSON.

    :raises argparse.ArgumentError: if the key, the file or the version cannot be used.
    """
    try:
        key = load_private_key(arguments.key)
        made = document(key, arguments.file, arguments.version, arguments.product or "")
    except OSError as error:
        raise argparse.ArgumentError(None, f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentError(None, str(error)) from None
    print(json.dumps(made, indent=2))

"""``upparat bundle``: puts a file and its job document into one file, to be installed by hand."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from upparat.bundle.archive import write_bundle

from . import updating
from .product import product


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the file of the update")
    updating.add_arguments(parser)
    parser.add_argument("--sign", metavar="KEY", type=Path, help="sign it with this key (PEM)")
    parser.add_argument("--product", type=product, help="the product that --sign names")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="the bundle to write"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle. One that is there is replaced at once, when the new one is complete.

    :raises argparse.ArgumentError: if a file or an argument cannot be used.
    """
    if not arguments.version:
        raise argparse.ArgumentError(None, "--version: is missing")
    if arguments.sign and (arguments.signature or arguments.minisig):
        raise argparse.ArgumentError(None, "--sign: there is a signature already")
    if arguments.product and not arguments.sign:
        raise argparse.ArgumentError(None, "--product: needs --sign")
    with updating.refusals():
        document = updating.document_of(arguments, _signature(arguments))
        _write(arguments, document)


def _signature(arguments: argparse.Namespace) -> str:
    if not arguments.sign:
        return ""
    from upparat.signing import command  # needs cryptography

    key = command.load_private_key(arguments.sign)
    made = command.document(key, arguments.file, arguments.version, arguments.product or "")
    return str(made["signature"])


def _write(arguments: argparse.Namespace, document: dict[str, object]) -> None:
    output, size = arguments.output.absolute(), int(str(document["size"]))
    descriptor, new = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with open(descriptor, "wb") as target, arguments.file.open("rb") as update:
            write_bundle(target, document, arguments.file.name, update, size)
            target.flush()
            os.fsync(target.fileno())
        os.chmod(new, 0o644)
        os.replace(new, output)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise

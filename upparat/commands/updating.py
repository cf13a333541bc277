"""What the verbs share that make a job document of a file: ``bundle`` and ``install``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upparat.bundle.document import make_document, read_minisig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that become members of the document."""
    parser.add_argument("--version", help="the version that the file installs")
    signed = parser.add_mutually_exclusive_group()
    signed.add_argument("--signature", default="", metavar="BASE64", help="the signature")
    signed.add_argument("--minisig", type=Path, metavar="FILE", help="a signature of minisign")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="the certificate of the signer (PEM)"
    )
    parser.add_argument("--meta", default="", help="a text for the hooks")
    parser.add_argument("--force-update", action="store_true", help="set 'force' of the document")


def document_of(arguments: argparse.Namespace, signature: str = "") -> dict[str, object]:
    """Return the document of the file; reads all of it.

    :param signature: base64, in place of one that the arguments give.
    :raises OSError: if a file cannot be read.
    :raises ValueError: if the document could never work.
    """
    certificate = arguments.certificate.read_text() if arguments.certificate else ""
    if arguments.minisig:
        signature = read_minisig(arguments.minisig)
    return make_document(
        arguments.file,
        arguments.version,
        signature=signature or arguments.signature,
        certificate=certificate,
        meta=arguments.meta,
        force=arguments.force_update,
    )


@contextmanager
def refusals() -> Iterator[None]:
    """Name the file or the key that is wrong, and exit with status 2.

    :raises argparse.ArgumentError: for what else is raised inside.
    """
    try:
        yield
    except OSError as error:
        raise argparse.ArgumentError(None, f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentError(None, str(error)) from None

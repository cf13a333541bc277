"""The argument ``--product`` of the verbs that sign."""

from __future__ import annotations

import argparse

from upparat.config.options import options_of
from upparat.config.settings import VerifySettings


def product(text: str) -> str:
    """Accept what the configuration of a device accepts.

    :raises argparse.ArgumentTypeError: for anything else.
    """
    # An empty variable of a shell script must not make a signature that names no product.
    problem = options_of(VerifySettings)["product"].wrong(text) if text else "is empty"
    if problem:
        raise argparse.ArgumentTypeError(problem)
    return text

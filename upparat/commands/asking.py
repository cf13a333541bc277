"""What the verbs share that ask a running agent: how they find it, and how they fail."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upparat.control.client import AskingFailed, NoAgent
from upparat.runtime import SYSTEM_SOCKET, default_socket, socket_path

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that find the agent."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the agent's configuration file")
    parser.add_argument("--socket", metavar="PATH", help="the agent's control socket")


def find_socket(arguments: argparse.Namespace) -> Path:
    """Return the control socket of the agent that is meant.

    :raises argparse.ArgumentError: if the configuration file cannot be read.
    :raises AskingFailed: if there is no control socket.
    """
    if arguments.socket:
        return Path(arguments.socket)
    if arguments.config:
        return _configured(arguments.config)
    own = default_socket()
    # The agent of the system may let the members of its group ask.
    return own if own is not None and own.exists() else SYSTEM_SOCKET


def _configured(file: str) -> Path:
    """Read one option alone: who may ask the agent may not read its keys."""
    import configparser  # only a file needs it

    parser = configparser.ConfigParser()
    try:
        with open(file, encoding="utf-8-sig") as stream:
            parser.read_file(stream)
        text = parser.get("control", "socket", fallback=None)
        path = default_socket() if text is None else socket_path(text.strip() or "off")
    except OSError as error:
        raise argparse.ArgumentError(None, f"{file}: {error.strerror}") from None
    except (configparser.Error, ValueError) as error:
        problem = " ".join(str(error).split())
        raise argparse.ArgumentError(None, f"{file}: [control] socket: {problem}") from None
    if path is None:
        raise NoAgent(f"{file}: the control socket is off")
    return path


@contextmanager
def failures_exit() -> Iterator[None]:
    """Print why the agent gives no answer, and exit with the status for it."""
    try:
        yield
        sys.stdout.flush()
    except AskingFailed as failed:
        print(f"upparat: {failed}", file=sys.stderr)
        raise SystemExit(failed.status) from None
    except BrokenPipeError:  # the reader of the output has had enough
        sys.stdout = None
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None

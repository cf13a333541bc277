"""Checks of files, keys, commands and directories; each raises ``ValueError`` with the problem."""

from __future__ import annotations

import os
import shlex
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from upparat.signing.keys import PublicKey


def readable(file: str) -> str:
    """Return the path of a file that the agent can read."""
    if not (os.path.isfile(file) and os.access(file, os.R_OK)):
        raise ValueError(f"{file} cannot be read")
    return file


def directory(path: Path) -> None:
    """Accept a directory that the agent can write to or could make."""
    if "\0" in str(path):
        raise ValueError("holds a NUL character")
    try:
        existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if not existing.is_dir():
        raise ValueError(f"{existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{existing} cannot be written to")


def words(text: str) -> list[str]:
    """Split a text into words, as a shell does."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be split into words: {error}") from None


def command(text: str) -> tuple[str, ...]:
    """The arguments of a command; the first is the absolute path of an executable."""
    # 1.x took the whole value as the path, blanks included
    split = [text] if os.path.isfile(text) else words(text)
    if not split:
        return ()
    executable = shutil.which(split[0])
    if executable is None:
        path = split[0] if os.path.dirname(split[0]) else ""  # or a name in PATH
        what = "is not executable" if os.path.exists(path) else "was not found"
        raise ValueError(f"{split[0]!r} {what}")
    return (os.path.abspath(executable), *split[1:])


def typed(text: str) -> tuple[str, ...]:
    """The arguments of a command that cannot be run now."""
    try:
        return tuple(words(text))
    except ValueError:
        return (text,)


def group(name: str) -> None:
    """Accept a group of the system."""
    import grp  # few devices need it

    try:
        grp.getgrnam(name)
    except KeyError:
        raise ValueError(f"the system has no group {name!r}") from None


def users(text: str) -> tuple[int, ...]:
    """The ids of users of the system, by their names or ids."""
    import pwd  # few devices need it

    found = []
    for name in text.split():
        try:
            found.append(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
        except (KeyError, ValueError):
            raise ValueError(f"the system has no user {name!r}") from None
    return tuple(found)


# --- certificates and keys ------------------------------------------------------------------------


def authorities(cafile: str) -> None:
    """Accept a file of certificates that OpenSSL can verify a server with."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{cafile} holds no certificates: {error}") from None


def key_pair(certfile: str, keyfile: str) -> None:
    """Accept a certificate and its private key."""
    try:
        # An empty password instead of none: OpenSSL would ask for one on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(certfile, keyfile, password="")
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"are no certificate and its key: {error}") from None


def public_keys(file: str) -> tuple[PublicKey, ...]:
    """The keys of a readable file."""
    from upparat.signing.keys import BadKey, load_keys  # slow, and needed only with keys

    try:
        return tuple(load_keys(Path(file).read_bytes()))
    except BadKey as error:
        raise ValueError(f"{file} {error}") from None


def signing_authorities(cafile: str) -> tuple[Certificate, ...]:
    """The certificates of a readable file."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(Path(cafile).read_bytes()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{cafile} holds no certificates: {error}") from None


# --- texts ----------------------------------------------------------------------------------------


def client_id(text: str) -> None:
    """Accept a client id of MQTT that AWS and other brokers accept."""
    if text.startswith("$") or not 1 <= len(text.encode()) <= 128:
        raise ValueError("must be 1 to 128 bytes that do not start with $")


def sentry_dsn(text: str) -> None:
    """Accept what the Sentry SDK accepts: ``https://KEY@HOST[:PORT]/[PATH/]PROJECT``."""
    try:
        parts = urlsplit(text)
        numbered = parts.port != 0 and int(parts.path.rpartition("/")[2]) >= 0
    except ValueError:
        numbered = False
    else:
        numbered = numbered and bool(parts.hostname and parts.username)
        numbered = numbered and parts.scheme in ("http", "https")
    if not numbered:
        raise ValueError("is not a Sentry DSN")


def absolute_paths(text: str) -> tuple[Path, ...]:
    """Split a text into absolute paths.

    :raises ValueError: if one is not absolute, or a quote has no end.
    """
    paths = tuple(Path(word) for word in words(text))
    for path in paths:
        if not path.is_absolute() or "\0" in str(path):
            raise ValueError(f"{str(path)!r} is no absolute path")
    return paths

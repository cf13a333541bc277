"""The checks: files, keys, commands, directories and texts."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certs import Certs, make_certs
from tests.support.minisign import make_minisign_keys
from tests.unit.config.bench import ConfigBench, public_keys
from upparat.config.settings import HookSettings
from upparat.job import Hook


class SentryTests(ConfigBench):
    def test_good(self) -> None:
        for dsn in ("https://k@h/1", "http://k:s@h:9000/a/b/1", "https://k@o1.ingest.x.io/42"):
            self.assertEqual(self.option("service", f"sentry_dsn = {dsn}").sentry_dsn, dsn)

    def test_bad(self) -> None:
        """What the SDK refuses must not come to light when the agent has started."""
        for dsn in (
            *("x", "h/1", "k@h/1", "https://h/1", "https://k@/1", "https://k@h", "https://k@h/"),
            *(
                "https://k@h/x",
                "https://k@h/1/",
                "https://k@h:x/1",
                "https://k@[h/1",
                "ftp://k@h/1",
            ),
            "https://k@h:99999/1",
        ):
            self.assertEqual(
                self.problem("service", f"sentry_dsn = {dsn}"),
                "[service] sentry_dsn: is not a Sentry DSN",
            )


class ClientIdTests(ConfigBench):
    def test_client_id(self) -> None:
        for client_id in ("x", "é" * 64, "x" * 128):
            found = self.option("broker", f"client_id = {client_id}").client_id
            self.assertEqual(found, client_id)
        for client_id in ("$x", "é" * 65, "x" * 129):
            self.assertEqual(
                self.problem("broker", f"client_id = {client_id}"),
                "[broker] client_id: must be 1 to 128 bytes that do not start with $",
            )


class TlsTests(ConfigBench):
    def setUp(self) -> None:
        super().setUp()
        self.certs = make_certs(self.directory / "certs")

    def options(self, certs: Certs) -> list[str]:
        return [
            f"cafile = {certs.cafile}",
            f"certfile = {certs.client_cert}",
            f"keyfile = {certs.client_key}",
        ]

    def tls_problem(self, **changes: object) -> str:
        changed = {name: str(value) for name, value in changes.items()}
        return self.problem("broker", *self.options(dataclasses.replace(self.certs, **changed)))

    def junk(self, content: str = "junk") -> Path:
        path = self.directory / "junk.pem"
        path.write_text(content)
        return path

    def test_good(self) -> None:
        self.assertTrue(self.option("broker", *self.options(self.certs)).tls)

    def test_paths_become_absolute(self) -> None:
        """A daemon changes its directory."""
        self.patch_directory(self.directory)
        broker = self.option(
            "broker",
            *("cafile = certs/ca.pem", "certfile = certs/device.pem", "keyfile = certs/device.key"),
        )
        self.assertEqual(
            (broker.cafile, broker.certfile, broker.keyfile),
            (self.certs.cafile, self.certs.client_cert, self.certs.client_key),
        )

    def patch_directory(self, directory: Path) -> None:
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(directory)

    def test_all_or_none(self) -> None:
        options = self.options(self.certs)
        for given_ones, missing in (
            (options[:1], "certfile, keyfile"),
            (options[1:], "cafile"),
            ([options[0], options[2]], "certfile"),
        ):
            self.assertEqual(
                self.problem("broker", *given_ones),
                f"[broker] {missing}: cafile, certfile and keyfile go together, or none",
            )

    def test_unreadable(self) -> None:
        for path in (self.directory / "missing", self.directory):
            for name, member in (
                ("cafile", "cafile"),
                ("certfile", "client_cert"),
                ("keyfile", "client_key"),
            ):
                self.assertEqual(
                    self.tls_problem(**{member: path}), f"[broker] {name}: {path} cannot be read"
                )

    def test_no_authorities(self) -> None:
        for content in ("", "junk", Path(self.certs.client_key).read_text()):
            path = self.junk(content)
            problem = self.tls_problem(cafile=path)
            self.assertTrue(problem.startswith(f"[broker] cafile: {path} holds no certificates: "))

    def test_authorities_of_downloads(self) -> None:
        missing, junk = self.directory / "missing", self.junk()
        self.assertEqual(
            self.problem("download", f"cafile = {missing}"),
            f"[download] cafile: {missing} cannot be read",
        )
        problem = self.problem("download", f"cafile = {junk}")
        self.assertTrue(problem.startswith(f"[download] cafile: {junk} holds no certificates: "))

    def test_no_certificate_or_key(self) -> None:
        start = "[broker] certfile, keyfile: are no certificate and its key: "
        for changes in (
            {"client_cert": self.junk()},
            {"client_key": self.junk()},
            {"client_cert": self.certs.client_key},
            {"client_key": self.certs.client_cert},
            {"client_key": self.certs.server_key},
        ):
            self.assertTrue(self.tls_problem(**changes).startswith(start), changes)

    def test_a_key_with_a_password(self) -> None:
        """Nobody is there to type it."""
        pem = Path(self.certs.client_key).read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
        path = self.directory / "encrypted.key"
        path.write_bytes(encrypted)
        self.assertIn("[broker] certfile, keyfile: ", self.tls_problem(client_key=path))

    def test_both_are_wrong(self) -> None:
        junk = str(self.junk())
        options = self.options(dataclasses.replace(self.certs, cafile=junk, client_key=junk))
        self.assertEqual(len(self.problems("\n".join(["[broker]", *options]))), 2)


class CommandTests(ConfigBench):
    def command(self, text: str) -> tuple[str, ...]:
        hooks: HookSettings = self.option("hooks", f"install = {text}")
        assert list(hooks.commands) in ([], [Hook.INSTALL])
        return hooks.commands.get(Hook.INSTALL, ())

    def test_arguments(self) -> None:
        hook = str(self.hook)
        for text, words in (
            ("", ()),
            (hook, (hook,)),
            (f"  {hook}  a  b ", (hook, "a", "b")),
            (f"'{hook}' 'a b' \"c 'd'\" e\\ f ''", (hook, "a b", "c 'd'", "e f", "")),
            (f"{hook} $HOME *; # x", (hook, "$HOME", "*;", "#", "x")),
            (f"{hook}\n  --next line", (hook, "--next", "line")),
        ):
            self.assertEqual(self.command(text), words)

    def test_from_the_path(self) -> None:
        with patch.dict(os.environ, {"PATH": str(self.directory)}):
            self.assertEqual(self.command("hook x"), (str(self.hook), "x"))
        self.assertEqual(self.command(f"{sys.executable} -m x")[1:], ("-m", "x"))

    def test_a_path_with_blanks(self) -> None:
        """1.x took the whole value as the path."""
        script = str(self.script("my hook  1"))
        self.assertEqual(self.command(script), (script,))
        self.assertEqual(self.command(f"'{script}' x"), (script, "x"))

    def test_relative(self) -> None:
        """A daemon changes its directory."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)
        self.assertEqual(self.command("./hook x"), (str(self.hook), "x"))
        self.assertEqual(
            self.problem("hooks", "install = hook"), "[hooks] install: 'hook' was not found"
        )

    def test_not_executable(self) -> None:
        """Root too needs one bit of it."""
        script = self.script("plain", 0o644)
        for text in (f"{script}", f"{script} x"):
            self.assertEqual(
                self.problem("hooks", f"install = {text}"),
                f"[hooks] install: '{script}' is not executable",
            )
        self.assertEqual(
            self.problem("hooks", f"install = {self.directory}"),
            f"[hooks] install: '{self.directory}' is not executable",
        )

    def test_not_found(self) -> None:
        missing = self.directory / "missing"
        for text, name in (
            (f"{missing} x", missing),
            ("no-such-command-here", "no-such-command-here"),
        ):
            self.assertEqual(
                self.problem("hooks", f"install = {text}"),
                f"[hooks] install: '{name}' was not found",
            )
        self.assertIn("[hooks] install: ", self.problem("hooks", "install = ''"))

    def test_open_quote(self) -> None:
        self.assertEqual(
            self.problem("hooks", "install = x 'y"),
            '[hooks] install: "x \'y" cannot be split into words: No closing quotation',
        )

    def test_each_hook(self) -> None:
        for hook in Hook:
            self.assertEqual(
                self.problem("hooks", f"{hook} = /missing"),
                f"[hooks] {hook}: '/missing' was not found",
            )


class DirectoryTests(ConfigBench):
    def test_made_later(self) -> None:
        service = self.option("service", f"download_location = {self.directory}/a/b")
        self.assertEqual(service.download_location, self.directory / "a" / "b" / "upparat")
        self.assertFalse((self.directory / "a").exists())

    def test_apart(self) -> None:
        service = self.option(
            "service", f"download_location = {self.directory}/a", f"state_dir = {self.directory}/b"
        )
        self.assertEqual(service.state_dir, self.directory / "b")

    def test_relative(self) -> None:
        """A daemon changes its directory."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)
        service = self.option("service", "download_location = a/../b", "state_dir = c")
        self.assertEqual(service.download_location, self.directory / "b" / "upparat")
        self.assertEqual(service.state_dir, self.directory / "c")

    def test_a_file_in_the_way(self) -> None:
        for path in (self.hook, self.hook / "x" / "y"):
            self.assertEqual(
                self.problem("service", f"state_dir = {path}"),
                f"[service] state_dir: {self.hook} is not a directory",
            )
        good = f"state_dir = {self.directory}"
        self.assertEqual(
            self.problem("service", f"download_location = {self.hook}", good),
            f"[service] download_location: {self.hook} is not a directory",
        )

    def test_impossible(self) -> None:
        path = self.directory / ("x" * 300)
        self.assertEqual(
            self.problem("service", f"state_dir = {path}"),
            f"[service] state_dir: {path}: File name too long",
        )

    def test_read_only(self) -> None:
        """Root may write everywhere, so it takes a fake to see it."""
        with patch.object(os, "access", lambda path, mode: path != self.directory):
            self.assertEqual(
                self.problem("service", f"state_dir = {self.directory}"),
                f"[service] state_dir: {self.directory} cannot be written to",
            )


class KeysTests(ConfigBench):
    def setUp(self) -> None:
        super().setUp()
        self.certs = make_certs(self.directory / "certs")

    def test_keys_that_are_none(self) -> None:
        nothing, missing = self.directory / "nothing", self.directory / "missing"
        nothing.write_text("nothing")
        torn = self.directory / "torn"
        torn.write_text("untrusted comment: ours\nRWQ\n")
        for file, problem in (
            (nothing, "holds no PEM block and no minisign public key"),
            (missing, "cannot be read"),
            (torn, "is no minisign public key: line 2 is not base64"),
        ):
            told = self.problem("verify", f"public_keys = {file}")
            self.assertEqual(told, f"[verify] public_keys: {file} {problem}")
        told = self.problem("verify", f"cafile = {nothing}")
        self.assertIn(f"[verify] cafile: {nothing} holds no certificates", told)

    def test_file_names_with_blanks_and_on_several_lines(self) -> None:
        blank = self.directory / "a key"
        blank.write_bytes(Path(self.certs.client_cert).read_bytes())
        value = f"public_keys = '{blank}'\n    {self.certs.server_cert}"
        self.assertEqual(len(self.option("verify", value).keys), 2)

    def test_keys_of_minisign_beside_others(self) -> None:
        keys = make_minisign_keys(self.directory)
        line = self.directory / "line"
        line.write_text(keys.public.read_text().splitlines()[1])
        files = f"{self.certs.client_cert} {keys.public} {line}"
        _, *ours = self.option("verify", f"public_keys = {files}").keys
        self.assertEqual(ours, public_keys(str(keys.public)) * 2)
        told = self.problem("verify", f"public_keys = {keys.private}")
        problem = "is no minisign public key: line 2 holds 158 bytes, not 42"
        self.assertEqual(told, f"[verify] public_keys: {keys.private} {problem}")

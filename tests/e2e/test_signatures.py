"""Only what the owner has signed is installed, as ``openssl`` and ``minisign`` sign it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.updates import Updates
from tests.support.files import File
from tests.support.minisign import MinisignPair, make_minisign_keys
from tests.support.openssl import KeyPair, make_keys
from tests.support.scripts import show
from upparat.signing.signatures import statement

NOT_OURS = "signature: no key of ours has made it"


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    return make_keys(tmp_path, "p384")


@pytest.fixture
def sign(tmp_path: Path, keys: KeyPair) -> Callable[[bytes], str]:
    def sign(content: bytes) -> str:
        message = tmp_path / "message"
        message.write_bytes(content)
        return base64.b64encode(keys.sign(message, "ecdsa-p384-sha384")).decode()

    return sign


Sign = Callable[[bytes], str]


def signed(sign: Sign, file: File, version: str = "2.0") -> dict[str, Any]:
    return {"sha256": file.sha256, "signature": sign(statement(version, file.sha256))}


def test_a_signed_file(updates: Updates, keys: KeyPair, sign: Sign) -> None:
    updates.start(verify={"require": "signature", "public_keys": keys.public})
    updates.create(**signed(sign, updates.file))
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert updates.installed == updates.file.content


def test_the_files_own_signature_as_aws_makes_it(
    updates: Updates, keys: KeyPair, sign: Sign
) -> None:
    updates.start(verify={"require": "signature", "public_keys": keys.public, "bind_version": "no"})
    updates.create(signature=sign(updates.file.content))
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"


def changed(sign: Sign, file: File) -> dict[str, tuple[dict[str, Any], str]]:
    """Documents that are wrong in one thing each, and what is said of them."""
    good = signed(sign, file)
    raw = bytearray(base64.b64decode(good["signature"]))
    raw[len(raw) // 2] ^= 1
    other = hashlib.sha256(b"other").hexdigest()
    file.content += b"!"  # from here on the server has another file
    now = hashlib.sha256(file.content).hexdigest()
    return {
        "version": ({**good, "version": "2.1"}, NOT_OURS),
        "signature": ({**good, "signature": base64.b64encode(raw).decode()}, NOT_OURS),
        "digest": ({**good, "sha256": other}, NOT_OURS),
        "file": (good, f"sha256: expected {good['sha256']}, got {now}"),
        "file without a digest": ({"signature": good["signature"]}, NOT_OURS),
        "size": (
            {**good, "size": 7},
            f"size: expected 7 bytes, the server has {len(file.content)}",
        ),
        "no signature": ({"sha256": now}, "signature: is missing in the job document"),
    }


def test_whatever_is_changed_is_refused(
    updates: Updates, keys: KeyPair, sign: Sign, tmp_path: Path
) -> None:
    updates.start(verify={"require": "signature", "public_keys": keys.public})
    cases = changed(sign, updates.file)
    assert len(cases) == 7
    for number, (what, (more, problem)) in enumerate(cases.items()):
        updates.create(f"job-{number}", **more)
        end = updates.cloud.wait_for_end(f"job-{number}")
        assert (what, end.state, end.message) == (what, "verification_failed", problem)
    assert "install" not in updates.hooks.names()
    assert not updates.hooks.installed_file.exists()
    left = [path.name for path in (tmp_path / "agent" / "downloads" / "upparat").iterdir()]
    assert left == []


def test_keys_of_others(updates: Updates, sign: Sign, tmp_path: Path) -> None:
    others = make_keys(tmp_path, "p384", "others")
    updates.start(verify={"require": "signature", "public_keys": others.public})
    updates.create(**signed(sign, updates.file))
    end = updates.cloud.wait_for_end("job-1")
    assert (end.state, end.message) == ("verification_failed", NOT_OURS)
    assert "install" not in updates.hooks.names()


def test_one_key_for_two_products(updates: Updates, keys: KeyPair, sign: Sign) -> None:
    updates.start(verify={"require": "signature", "public_keys": keys.public, "product": "board A"})
    digest = updates.file.sha256
    for product, problem in (
        ("board B", f"{NOT_OURS} for the product 'board A'"),
        ("", "signature: names no product, and must name 'board A'"),
    ):
        signature = sign(statement("2.0", digest, product))
        for name, more in (("digest", {"sha256": digest}), ("file", {})):  # told before, and after
            job = f"job-{len(product)}-{name}"
            updates.create(job, signature=signature, **more)
            end = updates.cloud.wait_for_end(job)
            told = (end.status, end.state, end.message)
            assert told == ("FAILED", "verification_failed", problem)
    assert "install" not in updates.hooks.names()
    assert not updates.hooks.installed_file.exists()
    updates.create("job-A", sha256=digest, signature=sign(statement("2.0", digest, "board A")))
    assert updates.cloud.wait_for_end("job-A").state == "complete_soft_restart"
    assert updates.installed == updates.file.content


@pytest.fixture
def minisign(tmp_path: Path) -> MinisignPair:
    return make_minisign_keys(tmp_path)


def minisigned(pair: MinisignPair, content: bytes, form: str) -> str:
    message = pair.private.with_name("message")
    message.write_bytes(content)
    return pair.sign(message, form)


@pytest.mark.parametrize(("form", "bind"), [("prehashed", "yes"), ("legacy", "no")])
def test_a_file_that_minisign_has_signed(
    updates: Updates, minisign: MinisignPair, form: str, bind: str
) -> None:
    updates.start(
        verify={"require": "signature", "public_keys": minisign.public, "bind_version": bind}
    )
    content = statement("2.0", updates.file.sha256) if bind == "yes" else updates.file.content
    updates.create(signature=minisigned(minisign, content, form))
    assert updates.cloud.wait_for_end("job-1").state == "complete_soft_restart"
    assert updates.installed == updates.file.content


def test_another_file_than_minisign_has_signed_is_refused(
    updates: Updates, minisign: MinisignPair
) -> None:
    updates.start(verify={"require": "signature", "public_keys": minisign.public})
    good = minisigned(minisign, statement("2.0", updates.file.sha256), "prehashed")
    updates.file.content = (
        updates.file.content[:-1] + b"!"
    )  # from here on the server has another file
    updates.create("job-file", signature=good)
    end = updates.cloud.wait_for_end("job-file")
    assert (end.state, end.message) == ("verification_failed", NOT_OURS)
    assert "install" not in updates.hooks.names()
    assert not updates.hooks.installed_file.exists()


def test_half_of_what_minisign_writes(updates: Updates, minisign: MinisignPair) -> None:
    updates.start(verify={"require": "signature", "public_keys": minisign.public})
    text = minisigned(minisign, statement("2.0", updates.file.sha256), "prehashed")
    half = "\n".join(text.splitlines()[:2])
    updates.create(signature=half)
    end = updates.cloud.wait_for_end("job-1")
    problem = "signature: is not what minisign writes: has 2 lines, not 4"
    assert (end.status, end.state) == ("REJECTED", "invalid_job_document")
    assert problem in end.message


def test_an_older_version(updates: Updates) -> None:
    updates.hooks.version([show(updates.hooks.version_file)])
    updates.hooks.version_file.write_text("2.0.1")
    updates.start(verify={"allow_downgrade": "no"})
    updates.create(force=True)
    end = updates.cloud.wait_for_end("job-1")
    message = "Version '2.0' is older than '2.0.1', which runs"
    assert (end.state, end.message) == ("downgrade_refused", message)
    assert updates.hooks.names() == ["version"]
    updates.create("job-2", version="2.0.1", force=True)
    assert updates.cloud.wait_for_end("job-2").state != "downgrade_refused"

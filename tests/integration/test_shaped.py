"""The line between two hosts that the benchmark has: what is lost is lost, the rest arrives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.certs import make_certs
from tests.support.nginx import Nginx, requires_nginx
from tests.support.shaped import SERVER, ShapedLink, Way, requires_shaping

FETCH = """
import shutil, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
shutil.copyfileobj(urllib.request.urlopen(sys.argv[1], context=context), sys.stdout.buffer)
"""


def test_delay_and_rate() -> None:
    way = Way(delay=0.5, loss=0.0, rate=100.0, queue=2.0)
    assert (way.due, way.arrived(0.0)) == (None, None)
    way.take(10.0, bytes(100))
    way.take(10.0, b"x" * 100)
    assert (way.due, way.arrived(11.4)) == (11.5, None)
    assert way.arrived(11.5) == bytes(100)
    assert way.due == 12.5
    assert way.arrived(13.0) == b"x" * 100


def test_a_queue_that_is_full() -> None:
    way = Way(delay=0.0, loss=0.0, rate=100.0, queue=1.5)
    for _ in range(5):
        way.take(0.0, bytes(100))
    assert (way.taken, way.lost) == (5, 3)


def test_the_same_losses_again() -> None:
    way = Way(delay=0.0, loss=0.5, rate=1e6, queue=1.0)

    def carry(begin: float) -> list[bytes | None]:
        way.seed(7)
        for number in range(100):
            way.take(begin + number, bytes([number]))
        return [way.arrived(begin + 1000) for _ in range(100)]

    first = carry(0.0)
    assert 10 < way.lost < 90
    assert len([each for each in first if each is not None]) == 100 - way.lost
    assert carry(1000.0) == first


@requires_nginx
@requires_shaping
def test_a_file_comes_through(tmp_path: Path) -> None:
    certs = make_certs(tmp_path / "certs", (SERVER,))
    content = bytes(range(256)) * 8000
    with ShapedLink(loss=0.02) as link, Nginx(tmp_path / "n", certs, SERVER, link.server) as server:
        (server.root / "file").write_bytes(content)
        url = server.url("file", tls=True)
        fetch = [*link.client, sys.executable, "-c", FETCH, url, certs.cafile]
        assert subprocess.run(fetch, capture_output=True, check=True).stdout == content
        assert link.lost > 0
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, check=True).stdout
    assert link.server[-1].encode() not in names

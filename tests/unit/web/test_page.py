"""The page as HTML: what it shows, and that no value becomes a part of it."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape

from twisted.web.error import FlattenerError

from tests.unit.control.bench import JOB, PAST, RETRY, RUNNING, FakeAgent
from tests.unit.web.bench import WebBench
from upparat.control.history import PastJob
from upparat.job import Hook
from upparat.snapshots import ConnectionSnapshot, DownloadSnapshot, HookSnapshot
from upparat.web.page import content, document, policy

EVIL = "<script>alert('\"&')</script>"


def page(agent: FakeAgent, age: float = 0.0) -> str:
    return content(dict(agent.builder().build()), age).decode()


def shown(html: str) -> str:
    """The text of a page."""
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", html).split()))


class PageTests(WebBench):
    def test_at_rest(self) -> None:
        text = shown(page(self.agent))
        self.assertTrue(text.startswith("device-1 monitor Upparat 2.0.0 Broker broker:8883, for"))
        self.assertTrue(text.endswith("Last jobs None yet."))

    def test_a_download(self) -> None:
        self.agent.job, self.agent.state = JOB, "download"
        self.agent.download = DownloadSnapshot(500, 2000, 100.0)
        html = page(self.agent)
        self.assertIn('<progress value="500" max="2000"', html)
        self.assertIn("25 % of 2.0 kB, 100 B/s, 15 s left", shown(html))
        self.assertNotIn("[#", html)
        self.assertIn("5 s left", shown(page(self.agent, age=10.0)))

    def test_downloads_without_a_share(self) -> None:
        self.agent.download = DownloadSnapshot(500, None)
        self.assertNotIn("<progress", page(self.agent))
        self.agent.download = DownloadSnapshot(0, 0)
        self.assertIn('max="1"', page(self.agent))

    def test_hooks_and_waits(self) -> None:
        self.agent.hook = RUNNING
        self.assertIn("install, run 2, for 12 s of 1 h", shown(page(self.agent)))
        self.agent.hook = HookSnapshot(Hook.INSTALL, 2, 3600.0, wait=RETRY)
        self.assertIn("Waits the hook exited with 3; next in 42 s", shown(page(self.agent)))

    def test_no_connection(self) -> None:
        self.agent.connection = ConnectionSnapshot(problem="refused")
        html = page(self.agent)
        self.assertIn("not connected: refused", shown(html))
        self.assertIn('class="state bad"', html)

    def test_the_history(self) -> None:
        done = PastJob("job-1", 1, 6, "2.0", "SUCCEEDED", "complete_ready", "none", PAST.time)
        self.agent.history = (done, PAST)
        text = shown(page(self.agent))
        self.assertIn("job-1 2.0 complete_ready 2027-01-14 08:00:00 UTC", text)
        self.assertIn("job-0 1.9 version_mismatch why 2027-01-14 08:00:00 UTC", text)

    def test_every_value_is_escaped(self) -> None:
        self.agent.state = EVIL
        self.agent.connection = ConnectionSnapshot(problem=EVIL)
        self.agent.history = (PastJob(EVIL, 1, 5, EVIL, EVIL, EVIL, EVIL, EVIL),)
        html = document(dict(self.agent.builder().build())).decode()
        self.assertEqual(html.count("<script>"), 1)
        self.assertIn(
            "data-title=\"device-1: &lt;script&gt;alert('&quot;&amp;')&lt;/script&gt;\"", html
        )
        self.assertGreaterEqual(shown(html).count("alert("), 6)

    def test_a_value_that_is_no_text(self) -> None:
        status = dict(self.agent.builder().build())
        self.assertRaises(FlattenerError, content, {**status, "thing": object()}, 0.0)

    def test_the_policy_admits_its_own_style_and_script_alone(self) -> None:
        html = document(dict(self.agent.builder().build()))
        for name in ("style", "script"):
            [code] = re.findall(rb"<%b>(.*?)</%b>" % (name.encode(), name.encode()), html, re.S)
            digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
            self.assertIn(f"{name}-src 'sha256-{digest}'", policy())
        self.assertTrue(policy().startswith("default-src 'none'; "))
        self.assertNotIn("unsafe", policy())
        self.assertEqual(re.findall(rb"\b(?:style|on\w+)=", html.partition(b"<body>")[2]), [])

    def test_it_is_small_and_whole(self) -> None:
        html = document(dict(self.agent.builder().build()))
        self.assertLess(len(html), 10_000)
        self.assertEqual(re.findall(rb"""(?:src|href)=["']?(?:https?:)?//""", html), [])

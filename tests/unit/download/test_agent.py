"""What goes over the wire for a signed URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from upparat.download.agent import RawUrlAgent

SIGNED = (
    b"https://[::1]:443/a%2Fb/~x*(1)'%7E;v=1,@|[]/%c3%a4"
    b"?X-Amz-Credential=A%2F20260101%2Feu&s=a+b%20c/d~e:f;g,%5e&X-Amz-Security-Token=%2f%2B==&x="
)


@implementer(IAgent)
class FakeAgent:
    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes, dict[bytes, Sequence[bytes]]]] = []
        self.response: Deferred[IResponse] = Deferred()

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        assert headers is not None
        self.requests.append((method, uri, dict(headers.getAllRawHeaders())))
        return self.response


class FakeResponse:
    def __init__(self, **headers: str) -> None:
        self.headers = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})


class RawUrlAgentTests(SynchronousTestCase):
    def get(self, authorization: str = "") -> tuple[FakeAgent, Deferred[Any]]:
        """Through treq, as in a download."""
        agent = FakeAgent()
        client = HTTPClient(RawUrlAgent(agent, SIGNED, authorization))
        answer: Deferred[Any] = client.get(
            EncodedURL(),
            headers=Headers({"Range": ["bytes=1-"]}),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, object()),
        )
        return agent, answer

    def test_the_url_is_not_spelt_anew(self) -> None:
        agent, _ = self.get()
        headers = {b"Range": [b"bytes=1-"], b"Accept-Encoding": [b"identity"]}
        self.assertEqual(agent.requests, [(b"GET", SIGNED, headers)])

    def test_authorization_for_a_proxy(self) -> None:
        agent, _ = self.get("Basic me")
        [(_, _, headers)] = agent.requests
        self.assertEqual(headers[b"Proxy-Authorization"], [b"Basic me"])

    def test_the_body_is_not_unpacked(self) -> None:
        agent, answer = self.get()
        response = FakeResponse(Content_Encoding="gzip")
        agent.response.callback(response)  # type: ignore[arg-type]
        self.assertIs(self.successResultOf(answer).original, response)

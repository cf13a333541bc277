"""Asks the page of an agent over HTTP, as a browser or Prometheus would."""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress

from prometheus_client.parser import text_string_to_metric_families

from .waiting import PATIENCE, wait_until


class Page:
    """The page of the agent that listens at a loopback port."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path: str = "/") -> tuple[int, str]:
        """The code and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def body(self, path: str = "/") -> str:
        """The body of a good answer."""
        code, body = self.get(path)
        assert code == 200, body
        return body

    def metrics(self) -> dict[str, float]:
        """The values of the metrics, with the labels as Prometheus writes them."""
        return {
            f"{sample.name}{_labels(sample.labels)}": sample.value
            for family in text_string_to_metric_families(self.body("/metrics"))
            for sample in family.samples
        }

    def wait(self) -> None:
        """Block until it is there."""
        wait_until(self._is_there)

    def _is_there(self) -> bool:
        try:
            return self.get()[0] == 200
        except OSError:
            return False


def _labels(labels: dict[str, str]) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}" if inner else ""


class Watcher:
    """Reads the events of a page in a thread, until the agent ends."""

    def __init__(self, page: Page) -> None:
        self.events: list[str] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE)
        self._connection.request("GET", "/events")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            while line := self._answer.readline():
                if line.startswith(b"data: "):
                    self.events.append(line.decode().removeprefix("data: "))

    def wait_for(self, text: str) -> str:
        """Block until an event has come that holds this text, and return the first such."""
        wait_until(lambda: any(text in event for event in self.events))
        return next(event for event in self.events if text in event)

    def end(self) -> list[str]:
        """The events up to the end of the agent."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._connection.close()
        return self.events

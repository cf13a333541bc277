"""paho-mqtt's client on a socket that somebody else opens and closes."""

from __future__ import annotations

import socket

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


class Client(paho.Client):
    """MQTT 3.1.1 with a clean session; it never reconnects.

    Its own way to open a socket blocks, and nothing could interrupt it.
    """

    def __init__(self, client_id: str, opened: socket.socket) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._opened = opened

    def _create_socket(self) -> _Borrowed:
        return _Borrowed(self._opened)


class _Borrowed:
    """The socket as paho sees it. Closing it stays ours: paho does so before the last packet
    has left, and before the reactor forgets the descriptor."""

    def __init__(self, opened: socket.socket) -> None:
        self.recv = opened.recv
        self.send = opened.send
        self.fileno = opened.fileno
        self.setblocking = opened.setblocking

    def close(self) -> None:
        """Nothing: see above."""

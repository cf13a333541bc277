"""TLS with client authentication towards the broker."""

from __future__ import annotations

import ssl

from upparat.config.settings import Broker

ALPN = "x-amzn-mqtt-ca"
"""Tells AWS IoT that a client on port 443 speaks MQTT and shows a certificate.

See https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html.
"""

ALPN_PORT = 443
"""The port that needs :data:`ALPN`; on every other one AWS expects none."""


def client_context(broker: Broker) -> ssl.SSLContext:
    """Read the files of ``broker``; chain and host name of the server will be checked.

    :raises OSError: (of which ``ssl.SSLError`` is one) if the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without renegotiation a read never waits for a write, nor a write for a read.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_verify_locations(broker.cafile)
    # An empty password instead of none: OpenSSL would ask for one on the terminal.
    context.load_cert_chain(broker.certfile, broker.keyfile, password="")
    if broker.port == ALPN_PORT:
        context.set_alpn_protocols([ALPN])
    return context

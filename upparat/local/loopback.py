"""Runs MiniStack on the loopback interface only: ``python -m upparat.local.loopback``.

MiniStack ignores ``BIND_HOST`` for its MQTT listener. That would be open to the network, and it
asks for no client certificate.
"""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"


def on_loopback(create_server: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``loop.create_server``: it listens on the loopback address, whatever it is given."""

    def create(loop: object, factory: object, host: Any = None, *args: Any, **named: Any) -> Any:
        if named.get("sock") is None:
            host = HOST
        return create_server(loop, factory, host, *args, **named)

    return create


def main() -> None:
    loop_class: Any = asyncio.BaseEventLoop
    loop_class.create_server = on_loopback(loop_class.create_server)
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

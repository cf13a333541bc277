"""MiniStack on the loopback interface only: ``python -m upparat.local.loopback``.

MiniStack's ``BIND_HOST`` does not reach its MQTT listener, which would be open to the network
and asks for no client certificate.
"""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"


def on_loopback(create_server: Callable[..., Any]) -> Callable[..., Any]:
    """``loop.create_server`` with every wildcard address replaced by the loopback's."""

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

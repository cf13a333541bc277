"""A device of the local AWS that is killed while it is updated, for ``tests.torture``."""

from __future__ import annotations

import random
import time
from pathlib import Path

from upparat.job import Status
from upparat.local.aws import LocalAws

from .agent import Agent
from .scripts import Hooks, copy_file, digest, pause
from .waiting import wait_until
from .world import FAST

SIZE = 2_000_000


def local_device(aws: LocalAws, directory: Path, thing: str) -> tuple[Agent, Hooks]:
    """The agent, not yet started, and the hooks of a new device: mTLS, S3 by plain HTTP."""
    device = aws.create_device(directory, thing)
    hooks = Hooks(directory / "hooks", device.pidfile).standard()
    hooks.install([digest(), pause(0.3), copy_file(hooks.installed_file), digest()])
    sections: dict[str, dict[str, object]] = {
        "service": {
            **FAST["service"],
            "download_location": directory / "downloads",
            "state_dir": directory / "state",
        },
        "broker": {
            "host": "127.0.0.1",
            "port": aws.mqtt_port,
            "thing_name": thing,
            "client_id": thing,
            "cafile": device.cafile,
            "certfile": device.certfile,
            "keyfile": device.keyfile,
        },
        "hooks": {**FAST["hooks"], **hooks.options},
        "download": {"allow_http": "yes", "max_attempts": 1000},
    }
    return Agent(directory, sections), hooks


def torture_local(
    aws: LocalAws, directory: Path, thing: str, dice: random.Random, kills: int
) -> list[str]:
    """One update with so many kills of the agent; what is wrong at its end."""
    agent, hooks = local_device(aws, directory, thing)
    content = dice.randbytes(SIZE)
    document = {"action": "upparat-update", "version": "2.0", "file": aws.upload(thing, content)}
    aws.create_job(thing, document, [thing])
    agent.supervised = True
    agent.start()
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0, 1.5))
            agent.kill()
            agent.start()
        ended = aws.wait(thing, thing, timeout=120)
        wait_until(lambda: not agent.leftovers())
        wrong = agent.leftovers()
        if ended.status is not Status.SUCCEEDED or hooks.version_file.read_text() != "2.0":
            wrong.append(f"ended {ended.status} {ended.details}")
        if not hooks.installed_file.exists() or hooks.installed_file.read_bytes() != content:
            wrong.append("the installed file is another one")
        if len(set(hooks.digests())) > 1:
            wrong.append("the install hook saw another file")
        return wrong
    except (AssertionError, TimeoutError) as error:
        return [str(error)]
    finally:
        agent.power_cut()

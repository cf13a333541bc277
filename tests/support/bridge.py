"""The example of a mosquitto that passes messages on to AWS, set up as its comments say."""

from __future__ import annotations

import subprocess
from pathlib import Path

from upparat.local.device import Device

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
USER, PASSWORD = "upparat", "secret"  # the agent's


def bridge_config(directory: Path, port: int, device: Device, mqtt_port: int) -> Path:
    """Write the configuration, the ACL and the passwords: the agent's, and that of ``other``.

    :param port: that the bridge listens on.
    :param mqtt_port: of the local AWS.
    """
    passwords, rules = directory / "passwd", directory / "acl"
    passwords.touch()
    for user, password in ((USER, PASSWORD), ("other", "x")):
        command = ["mosquitto_passwd", "-b", str(passwords), user, password]
        subprocess.run(command, check=True, timeout=30)
    rules.write_text(
        (EXAMPLES / "mosquitto-bridge.acl").read_text().replace("THING", device.thing_name)
    )
    text = (EXAMPLES / "mosquitto-bridge.conf").read_text()
    for old, new in {
        "listener 1883": f"listener {port}",
        "password_file /etc/mosquitto/upparat.passwd": f"password_file {passwords}",
        "acl_file /etc/mosquitto/upparat.acl": f"acl_file {rules}",
        "ENDPOINT-ats.iot.REGION.amazonaws.com:8883": f"127.0.0.1:{mqtt_port}",
        "/etc/mosquitto/certs/AmazonRootCA1.pem": str(device.cafile),
        "/etc/mosquitto/certs/device.crt": str(device.certfile),
        "/etc/mosquitto/certs/device.key": str(device.keyfile),
        "THING": device.thing_name,
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    config = directory / "mosquitto.conf"
    # mosquitto gives up root's rights, and with them the right to read the key.
    config.write_text(text + "user root\n")
    return config

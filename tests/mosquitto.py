"""A real MQTT broker: Mosquitto, as Debian's package `mosquitto` installs it."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import paho.mqtt.publish
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.waiting import until
from weatherglass.net import accepts_connections

PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Mosquitto:
    """A broker that keeps sessions and messages when it is restarted.

    Args:
        listener: further lines of the configuration, for example of TLS.
    """

    def __init__(self, folder: Path, port: int, *listener: str):
        if PROGRAM is None:
            pytest.skip("mosquitto is not installed (Debian's package mosquitto)")
        folder.mkdir()
        self.port = port
        self.url = f"mqtt://127.0.0.1:{port}"
        self._log = folder / "mosquitto.log"
        self._configuration = folder / "mosquitto.conf"
        lines = [
            f"user {getpass.getuser()}",  # otherwise it changes to its own user, which cannot read the folder
            "persistence true",
            f"persistence_location {folder}/",
            f"listener {port} 127.0.0.1",
            *(listener or ["allow_anonymous true"]),
        ]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(PROGRAM), "-c", str(self._configuration)], stdout=log, stderr=subprocess.STDOUT
            )
        until("Mosquitto", lambda: accepts_connections(f"127.0.0.1:{self.port}"))

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def publish(self, topic: str, payload: str | bytes, qos: int = 1, retain: bool = False) -> None:
        """Publish a message, and return when the broker has it."""
        paho.mqtt.publish.single(
            topic, payload, qos, retain, "127.0.0.1", self.port, protocol=MQTTProtocolVersion.MQTTv5
        )

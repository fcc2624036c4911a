"""The connection to the MQTT broker: restarts, TLS, password."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from producer.mqtt.__main__ import receive
from producer.own_stations import OwnStationPublisher
from tests.conftest import free_ports
from tests.mosquitto import Mosquitto
from tests.producer.mqtt.running_job import NOW, RunningJob, arrived, message, minutes_ago, with_files
from tests.producer.topic_reader import TopicReader
from tests.waiting import until
from weatherglass.jobs.job import Job
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration


def test_a_restart_of_the_mqtt_broker_loses_no_message(
    mosquitto: Mosquitto, job: RunningJob, reader: TopicReader
) -> None:
    with job.running():
        mosquitto.publish("garden/weather", message(4))
        arrived(reader, 1)
        mosquitto.stop()
        until("the loss of the connection", lambda: "disconnected" in job.connections())
        mosquitto.start()
        mosquitto.publish("garden/weather", message(3))
        until("a new connection", lambda: job.connections().count("connected") == 2)
        mosquitto.publish("garden/weather", message(2))
        assert minutes_ago(arrived(reader, 3)) == [4, 3, 2]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mosquitto")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files[1].write_bytes(private)
    return files


@pytest.mark.parametrize(("password", "state"), [("right", "connected"), ("wrong", "refused")])
def test_tls_and_a_password_from_a_file(
    tmp_path: Path, settings_of: Callable[..., Settings], password: str, state: str
) -> None:
    public, private = certificate(tmp_path)
    users, secret = tmp_path / "users", tmp_path / "password"
    users.write_text("gate:right\n")
    subprocess.run(["mosquitto_passwd", "-U", users], check=True)
    users.chmod(0o600)
    secret.write_text(password + "\n")
    server = Mosquitto(
        tmp_path / "mosquitto",
        free_ports(1)[0],
        *(f"certfile {public}", f"keyfile {private}", "allow_anonymous false", f"password_file {users}"),
    )
    server.start()
    settings = with_files(
        settings_of(
            mqtt_url=server.url.replace("mqtt:", "mqtts:"),
            mqtt_user="gate",
            mqtt_password_file=secret,
            mqtt_ca_file=public,
        )
    )
    job = RunningJob(settings, OwnStationPublisher(settings))
    stopped = Job(job.folder)
    thread = threading.Thread(target=receive, args=(settings, job.publisher, stopped))
    thread.start()
    try:
        until("the connection", lambda: state in job.connections())
    finally:
        job.folder.request_stop("test")
        thread.join()
        server.stop()
    assert "right" not in job.folder.progress.read_text()

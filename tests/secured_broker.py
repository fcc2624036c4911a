"""A real broker with listeners for TLS and SASL, and the certificates of its own CA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

from tests.conftest import TestBroker, free_ports, make_settings
from weatherglass.kafka_settings import KafkaSaslMechanism
from weatherglass.launcher.kafka import Broker
from weatherglass.settings import LOOPBACK, Settings

PASSWORD = 'pass"word\\with special'
"""With what JAAS has to escape."""
USERS = {
    KafkaSaslMechanism.PLAIN: "plain",
    KafkaSaslMechanism.SCRAM_SHA_256: "scram-256",
    KafkaSaslMechanism.SCRAM_SHA_512: "scram-512",
}


class Authority:
    """A CA that writes PEM files to a folder: `ca.pem`, and `NAME.pem` and `NAME.key` for each certificate."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {folder.name}")])
        self._write("ca.pem", self._certificate(self._name, self._key.public_key(), is_ca=True))

    def issue(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._write(f"{name}.pem", self._certificate(subject, key.public_key(), is_ca=False))
        # PKCS 1, SEC 1: the older formats of keys, which Java does not read.
        self._write(f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        self._write(f"{name}.pkcs8", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, is_ca: bool) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)


class SecuredBroker(TestBroker):
    """A broker that also listens with SASL and TLS, and with TLS and client certificates."""

    def __init__(self, folder: Path):
        super().__init__(make_settings(folder / "broker"))
        self.files = folder
        self.authority = Authority(folder)
        self.authority.issue("broker")
        self.authority.issue("client")
        keystore = folder / "keystore.pem"
        keystore.write_bytes((folder / "broker.pkcs8").read_bytes() + (folder / "broker.pem").read_bytes())
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD + "\n", encoding="utf-8")
        self.sasl_port, self.tls_port = free_ports(2)
        self.broker = _Broker(self.settings, keystore, folder / "ca.pem", self.sasl_port, self.tls_port)

    def add_users(self) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:
            admin.alter_user_scram_credentials(
                [
                    UserScramCredentialUpsertion(user, mechanism.value, PASSWORD)
                    for mechanism, user in USERS.items()
                    if mechanism is not KafkaSaslMechanism.PLAIN
                ]
            )

    def client(self, folder: Path, mechanism: KafkaSaslMechanism, **overrides: object) -> Settings:
        """Settings of an installation that logs in with a mechanism."""
        values: dict[str, object] = {
            # The first server does not exist.
            "kafka_bootstrap": f"{LOOPBACK}:1,{LOOPBACK}:{self.sasl_port}",
            "kafka_protocol": "SASL_SSL",
            "kafka_ca_file": self.files / "ca.pem",
            "kafka_sasl_mechanism": mechanism,
            "kafka_user": USERS[mechanism],
            "kafka_password_file": self.password_file,
        }
        return make_settings(folder, **(values | overrides))


class _Broker(Broker):
    def __init__(self, settings: Settings, keystore: Path, ca: Path, sasl_port: int, tls_port: int):
        super().__init__(settings)
        self._stores, self._sasl_port, self._tls_port = (keystore, ca), sasl_port, tls_port

    def _configuration(self) -> str:
        plain, controller = f"PLAINTEXT://{LOOPBACK}:{self.port}", f"CONTROLLER://{LOOPBACK}:{self.controller_port}"
        secured = f"SASL_SSL://{LOOPBACK}:{self._sasl_port},SSL://{LOOPBACK}:{self._tls_port}"
        keystore, ca = self._stores
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        password = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
        user = f'user_{USERS[KafkaSaslMechanism.PLAIN]}="{password}"'
        module = f"org.apache.kafka.common.security.plain.PlainLoginModule required {user};"
        values = {
            "listeners": f"{plain},{controller},{secured}",
            "advertised.listeners": f"{plain},{secured}",
            "listener.security.protocol.map": ",".join(
                ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT", "SASL_SSL:SASL_SSL", "SSL:SSL"]
            ),
            "sasl.enabled.mechanisms": ",".join(USERS),
            "listener.name.sasl_ssl.plain.sasl.jaas.config": module.replace("\\", "\\\\"),  # a properties file
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.ssl.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": ca,
        }
        return super()._configuration() + "".join(f"{name}={value}\n" for name, value in values.items())


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    running = SecuredBroker(folder)
    running.start()
    try:
        running.add_users()
        yield running
    finally:
        running.stop()

"""How every Kafka client connects: servers, TLS and SASL, for Python's clients and for those of Java in Spark.

Secrets are read from their files when a client is created. `Settings` contains only the names of the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from weatherglass.kafka_settings import KafkaProtocol, KafkaSaslMechanism
from weatherglass.settings import Settings
from weatherglass.settings_errors import SettingsError, variable

LOGIN_MODULES = {
    KafkaSaslMechanism.PLAIN: "org.apache.kafka.common.security.plain.PlainLoginModule",
    KafkaSaslMechanism.SCRAM_SHA_256: "org.apache.kafka.common.security.scram.ScramLoginModule",
    KafkaSaslMechanism.SCRAM_SHA_512: "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def client_options(settings: Settings) -> dict[str, Any]:
    """Options of `KafkaProducer`, `KafkaConsumer` and `KafkaAdminClient`.

    Raises:
        SettingsError: the password file is empty or not readable.
    """
    options: dict[str, Any] = {"bootstrap_servers": settings.bootstrap_servers}
    if settings.kafka_protocol is not KafkaProtocol.PLAINTEXT:
        options["security_protocol"] = settings.kafka_protocol.value
    if settings.kafka_protocol.uses_tls:
        options |= {
            "ssl_cafile": _name(settings.kafka_ca_file),
            "ssl_certfile": _name(settings.kafka_certificate_file),
            "ssl_keyfile": _name(settings.kafka_key_file),
        }
    if settings.kafka_protocol.uses_sasl:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism.value,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": _password(settings),
        }
    return options


def spark_options(settings: Settings) -> dict[str, str]:
    """Options of Spark's source and sink `kafka`.

    They contain the password and the contents of the files, so executors need no files. Spark sends the options to
    them with the tasks, and `spark_jobs.spark_conf` hides them in the pages.

    Raises:
        SettingsError: a file is empty or not readable, or the key is not a PEM key or is encrypted.
    """
    options = {"kafka.bootstrap.servers": settings.bootstrap_servers}
    if settings.kafka_protocol is not KafkaProtocol.PLAINTEXT:
        options["kafka.security.protocol"] = settings.kafka_protocol.value
    if settings.kafka_protocol.uses_tls:
        if settings.kafka_ca_file:
            options |= {
                "kafka.ssl.truststore.type": "PEM",
                "kafka.ssl.truststore.certificates": _content("kafka_ca_file", settings.kafka_ca_file),
            }
        if settings.kafka_certificate_file and settings.kafka_key_file:
            options |= {
                "kafka.ssl.keystore.type": "PEM",
                "kafka.ssl.keystore.certificate.chain": _content(
                    "kafka_certificate_file", settings.kafka_certificate_file
                ),
                "kafka.ssl.keystore.key": _pkcs8(settings.kafka_key_file),
            }
    if settings.kafka_protocol.uses_sasl:
        module = LOGIN_MODULES[settings.kafka_sasl_mechanism]
        user, password = _quoted(settings.kafka_user), _quoted(_password(settings))
        options |= {
            "kafka.sasl.mechanism": settings.kafka_sasl_mechanism.value,
            "kafka.sasl.jaas.config": f"{module} required username={user} password={password};",
        }
    return options


def _name(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _password(settings: Settings) -> str:
    assert settings.kafka_password_file  # checked by the settings
    return _content("kafka_password_file", settings.kafka_password_file)


def _content(field: str, file: Path) -> str:
    try:
        content = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable(field)}={str(file)!r} is not readable: {type(error).__name__}") from None
    if not content:
        raise SettingsError(f"{variable(field)}={str(file)!r} is empty")
    return content


def _pkcs8(file: Path) -> str:
    """The key in the only format that Kafka's Java client reads."""
    try:
        key = load_pem_private_key(_content("kafka_key_file", file).encode(), password=None)
    except (TypeError, ValueError):
        raise SettingsError(
            f"{variable('kafka_key_file')}={str(file)!r} is not a private key in PEM format without a passphrase"
        ) from None
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _quoted(text: str) -> str:
    """A string in the syntax of JAAS."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

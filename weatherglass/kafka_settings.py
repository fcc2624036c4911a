"""The settings of an existing Kafka: how clients connect, and how durable the topics are."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field, FilePath, model_validator

from weatherglass.settings_errors import variable


class KafkaProtocol(StrEnum):
    """Kafka's security protocols."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def uses_tls(self) -> bool:
        return self in (KafkaProtocol.SSL, KafkaProtocol.SASL_SSL)

    @property
    def uses_sasl(self) -> bool:
        return self in (KafkaProtocol.SASL_PLAINTEXT, KafkaProtocol.SASL_SSL)


class KafkaSaslMechanism(StrEnum):
    """How a user proves the password."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class KafkaSettings(BaseModel):
    """The part of the settings that only an existing Kafka needs."""

    kafka_bootstrap: str = Field(
        "",
        pattern=r"^(?:[^\s,]+:\d{1,5}(?:, *[^\s,]+:\d{1,5})*)?$",
        description="Kafka's bootstrap servers, `host:port,…`. Empty: the embedded broker.",
    )
    kafka_protocol: KafkaProtocol = Field(
        KafkaProtocol.PLAINTEXT,
        description="Security protocol of `WEATHERGLASS_KAFKA_BOOTSTRAP`: with `SSL` TLS, with `SASL` a user.",
    )
    kafka_ca_file: FilePath | None = Field(
        None,
        description="CA certificates (PEM) with which the certificates of the brokers are verified. Empty: those of "
        "the system, for Spark those of Java.",
    )
    kafka_certificate_file: FilePath | None = Field(
        None, description="Client certificate (PEM, with its chain), if the brokers require one."
    )
    kafka_key_file: FilePath | None = Field(
        None, description="Private key of the client certificate (PEM, without a passphrase)."
    )
    kafka_sasl_mechanism: KafkaSaslMechanism = Field(
        KafkaSaslMechanism.SCRAM_SHA_512, description="SASL mechanism. `PLAIN` needs TLS."
    )
    kafka_user: str = Field("", description="SASL user.")
    kafka_password_file: FilePath | None = Field(None, description="File with the password of the SASL user.")
    kafka_replication: int = Field(
        1, ge=1, le=32767, description="Replication factor of topics that are created; at most the number of brokers."
    )
    kafka_min_insync_replicas: int | None = Field(
        None,
        ge=1,
        description="`min.insync.replicas` of the topics, at most their replication factor. Empty: the default of the "
        "brokers.",
    )

    @model_validator(mode="after")
    def _consistent_connection(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """The contradictions in the settings."""
        protocol, tls, sasl = self.kafka_protocol, self.kafka_protocol.uses_tls, self.kafka_protocol.uses_sasl
        is_plain = f"{variable('kafka_protocol')} is {protocol.value}"
        if not self.kafka_bootstrap:
            external = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file", "kafka_user")
            for name in (*external, "kafka_password_file"):
                if getattr(self, name):
                    yield f"{variable(name)} is set without {variable('kafka_bootstrap')}: the embedded broker has none"
            if protocol is not KafkaProtocol.PLAINTEXT:
                yield f"{is_plain} without {variable('kafka_bootstrap')}: the embedded broker is PLAINTEXT"
            if self.kafka_replication > 1:
                yield (
                    f"{variable('kafka_replication')} is {self.kafka_replication} without "
                    f"{variable('kafka_bootstrap')}: the embedded broker is a single one"
                )
        for name in ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file"):
            if getattr(self, name) and not tls:
                yield f"{variable(name)} is set, but {is_plain}; it needs SSL or SASL_SSL"
        for name, other in (
            ("kafka_certificate_file", "kafka_key_file"),
            ("kafka_key_file", "kafka_certificate_file"),
        ):
            if getattr(self, name) and not getattr(self, other):
                yield f"{variable(name)} is set without {variable(other)}"
        for name in ("kafka_user", "kafka_password_file"):
            if sasl and not getattr(self, name):
                yield f"{is_plain}, but {variable(name)} is not set"
            if getattr(self, name) and not sasl:
                yield f"{variable(name)} is set, but {is_plain}; it needs SASL_SSL or SASL_PLAINTEXT"
        if self.kafka_sasl_mechanism is not KafkaSaslMechanism.SCRAM_SHA_512 and not sasl:
            yield f"{variable('kafka_sasl_mechanism')} is set, but {is_plain}; it needs SASL_SSL or SASL_PLAINTEXT"
        if sasl and not tls and self.kafka_sasl_mechanism is KafkaSaslMechanism.PLAIN:
            yield f"{variable('kafka_sasl_mechanism')} is PLAIN, which sends the password, but {is_plain}; use SASL_SSL"
        if (self.kafka_min_insync_replicas or 1) > self.kafka_replication:
            yield (
                f"{variable('kafka_min_insync_replicas')} is {self.kafka_min_insync_replicas}, more than "
                f"{variable('kafka_replication')}, {self.kafka_replication}: no record would be accepted"
            )

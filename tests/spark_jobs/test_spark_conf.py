"""Spark's configuration on a single machine and on a cluster."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_jobs.spark_conf import batch_conf, environment, stream_conf
from weatherglass.settings import LOOPBACK, Settings, load_settings
from weatherglass.settings_errors import SettingsError

MASTER = "spark://spark-master:7077"
RPC_REQUEST, RPC_FAILURE = 3, 5
"""Types of messages of Spark's transport protocol (`org.apache.spark.network.protocol.Message`)."""


@pytest.fixture
def clustered(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, spark_master=MASTER, spark_cores=3, spark_memory_mb=900)


@pytest.mark.parametrize("conf", [stream_conf, batch_conf])
def test_on_a_cluster_nothing_is_bound_to_loopback(
    clustered: Settings, conf: Callable[[Settings], dict[str, str]]
) -> None:
    config = conf(clustered)
    assert config["spark.master"] == MASTER
    assert LOOPBACK not in " ".join([*config.values(), *environment(clustered).values()])


@pytest.mark.parametrize("conf", [stream_conf, batch_conf])
def test_a_cluster_has_one_executor_per_shuffle_partition_with_the_jars_of_the_driver(
    clustered: Settings, conf: Callable[[Settings], dict[str, str]]
) -> None:
    config = conf(clustered)
    assert int(config["spark.cores.max"]) / int(config["spark.executor.cores"]) == 3
    assert config["spark.sql.shuffle.partitions"] == "3"
    assert config["spark.executor.extraClassPath"] == config["spark.driver.extraClassPath"]
    assert config["spark.executor.memory"] == "900m"


def test_java_accepts_the_options_of_cluster_processes(clustered: Settings) -> None:
    config = stream_conf(clustered)
    options = config["spark.executor.extraJavaOptions"].split()
    assert options == config["spark.driver.extraJavaOptions"].split()
    started = subprocess.run(["java", *options, "-version"], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stdout + started.stderr


@pytest.mark.parametrize("conf", [stream_conf, batch_conf])
def test_on_one_machine_all_addresses_are_loopback(tmp_path: Path, conf: Callable[[Settings], dict[str, str]]) -> None:
    settings = Settings(state_dir=tmp_path)
    config = conf(settings)
    assert config["spark.driver.host"] == config["spark.driver.bindAddress"] == LOOPBACK
    assert set(environment(settings).values()) == {LOOPBACK}
    assert not any(name.startswith("spark.executor") for name in config)


@pytest.mark.parametrize("wrong", ["local[2]", "spark-master:7077", "spark://", "spark://a b:7077", "yarn"])
def test_an_unsupported_master_is_refused_with_the_setting_name(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("WEATHERGLASS_SPARK_MASTER", wrong)
    with pytest.raises(SettingsError, match="WEATHERGLASS_SPARK_MASTER"):
        load_settings()


@pytest.mark.integration
def test_the_driver_deserializes_nothing_from_a_client_without_the_secret(spark: SparkSession) -> None:
    """Without authentication, the driver would pass the Java object "x" to an endpoint that every driver has."""
    receiver = b"\1" + _utf(b"127.0.0.1") + struct.pack(">i", 1) + _utf(b"endpoint-verifier")
    content = b"\0" + receiver + bytes.fromhex("aced0005740001") + b"x"  # \0: no sender
    request = struct.pack(">bqi", RPC_REQUEST, 1, len(content)) + content
    port = int(spark.sparkContext.getConf().get("spark.driver.port", "0"))
    with socket.create_connection((LOOPBACK, port), timeout=300) as connection:
        connection.sendall(struct.pack(">q", 8 + len(request)) + request)
        response = connection.makefile("rb").read(9)
    assert response[8] == RPC_FAILURE


def _utf(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text

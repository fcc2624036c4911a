"""Spark's configuration for streams and batches, as a dictionary of strings: for spark-submit, Airflow and the tests.

Without `spark_master`, Spark runs inside the job process and binds to loopback. With it, the job is the driver of a
cluster with at most `spark_cores` executors of one core each. The executors reach the driver by its host name, use the
jars and the Python environment at the same paths as the driver, and write to the same state folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from weatherglass.settings import LOOPBACK, Settings

FEATURES_JAR = Path(__file__).resolve().with_name("weatherglass.jar")
"""The compiled `java/`: built by `make setup`, and part of the wheel."""

LOCAL_FILES = "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem"
"""Uses Java's file API; Hadoop's default starts a helper process (chmod, stat) for every file."""

JVM_OPTIONS = (
    "-XX:+UseSerialGC -XX:MaxMetaspaceSize=320m -XX:ReservedCodeCacheSize=160m -Xss2m -Duser.timezone=UTC "
    # Thresholds of the second-tier JIT compiler, ten times the defaults. Planning and starting the batches runs much
    # code a few hundred times; with the defaults, that compiler takes a third of the job's CPU time in its first
    # minutes, on cores that it shares with the tasks. With much higher ones, all later batches take longer.
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000 "
    # The inner loop is compiled as early as with the defaults.
    "-XX:CompileCommand=quiet -XX:CompileCommand=CompileThresholdScaling,weatherglass.*::*,0.1"
)
"""Options of each Java process."""

UI_PROTECTION = {
    "spark.ui.killEnabled": "false",
    # Each request would let the JVM collect its garbage completely.
    "spark.ui.heapHistogramEnabled": "false",
    "spark.ui.filters": "weatherglass.UiRequestFilter",
}
"""For every UI of Spark: none has a login, and none may change anything."""


def environment(settings: Settings) -> dict[str, str]:
    """Environment of every spark-submit. Spark's UI has no setting for its address and would bind to all of them."""
    return {} if settings.spark_master else {"SPARK_LOCAL_IP": LOOPBACK, "SPARK_LOCAL_HOSTNAME": LOOPBACK}


def submit_command(conf: Mapping[str, str], script: Path, *arguments: str) -> list[str]:
    """The command that runs a script with a configuration, without Airflow."""
    options = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
    return [str(Path(sys.executable).with_name("spark-submit")), *options, str(script), *arguments]


def stream_conf(settings: Settings) -> dict[str, str]:
    """Configuration of the features job, a continuous stream."""
    return _common(settings) | {
        **UI_PROTECTION,
        "spark.ui.enabled": "true",
        "spark.ui.port": str(settings.spark_ui_port),
        "spark.port.maxRetries": "0",  # the UI must use the documented port
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "50",
        "spark.ui.retainedTasks": "500",
        "spark.sql.ui.retainedExecutions": "20",
        "spark.sql.streaming.ui.retainedQueries": "4",
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        # Otherwise an idle stream runs an empty batch to close windows; in update mode that has no output.
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        # The same watermark for dropping late rows and for closing windows: that of the batch, which its progress event
        # contains. The other mode, for chained stateful operators, drops late rows by the previous batch's watermark.
        "spark.sql.streaming.statefulOperator.allowMultiple": "false",
        "spark.sql.streaming.numRecentProgressUpdates": "10",
        # Metrics for Prometheus at /metrics/prometheus/ of the UI, with names that do not change with every start.
        "spark.metrics.conf.*.sink.prometheusServlet.class": "org.apache.spark.metrics.sink.PrometheusServlet",
        "spark.metrics.conf.*.sink.prometheusServlet.path": "/metrics/prometheus",
        "spark.metrics.namespace": "weatherglass",
        "spark.sql.streaming.metricsEnabled": "true",
        # No code generation, neither for projections nor for whole stages: the expensive part is Java code, and for the
        # rest, generating and looking up the code would take longer in each batch than it saves.
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.hadoop.fs.file.impl": LOCAL_FILES,
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
    }


def batch_conf(settings: Settings) -> dict[str, str]:
    """Configuration of a batch job."""
    return _common(settings) | {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.hadoop.fs.file.impl": LOCAL_FILES,
    }


def _common(settings: Settings) -> dict[str, str]:
    jars = f"{FEATURES_JAR}{os.pathsep}{settings.build_dir.resolve() / 'jars' / 'spark'}/*"
    return (_cluster(settings, jars) if settings.spark_master else _local(settings)) | {
        "spark.driver.memory": f"{settings.spark_memory_mb}m",
        # On the class path from the start: otherwise Spark copies the jars and serves them to its own process.
        "spark.driver.extraClassPath": jars,
        "spark.driver.extraJavaOptions": JVM_OPTIONS,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark_cores),
        "spark.sql.catalogImplementation": "in-memory",
        # Options of Kafka with secrets, which Spark would show in plans; URLs are Spark's default.
        "spark.sql.redaction.options.regex": "(?i)url|sasl[.]jaas|ssl[.]keystore",
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
        "spark.log.level": "WARN",
    }


def _local(settings: Settings) -> dict[str, str]:
    return {
        "spark.master": f"local[{settings.spark_cores}]",
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        # The driver listens even without executors. Unauthenticated, it would deserialize the Java objects that any
        # other user of this machine sends to it. Spark generates the secret.
        "spark.authenticate": "true",
    }


def _cluster(settings: Settings, jars: str) -> dict[str, str]:
    return {
        "spark.master": settings.spark_master,
        "spark.cores.max": str(settings.spark_cores),
        "spark.executor.cores": "1",
        "spark.executor.memory": f"{settings.spark_memory_mb}m",
        "spark.executor.extraClassPath": jars,
        "spark.executor.extraJavaOptions": JVM_OPTIONS,
        # Detects a lost worker within half a minute instead of two.
        "spark.network.timeout": "30s",
        "spark.network.timeoutInterval": "10s",
        "spark.executor.heartbeatInterval": "5s",
        # A task must not wait longer than a batch for a lost executor that held its data in the cache.
        "spark.locality.wait": "200ms",
    }

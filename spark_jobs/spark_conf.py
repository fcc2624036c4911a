"""Spark's configuration for the stream and for batches, as plain strings: for spark-submit, Airflow and the tests.

Without `spark_master` Spark runs inside the job, on loopback. With it the job is the driver of a cluster: executors of
one core each, `spark_cores` of them at most, which reach the driver by its host's name, find the jars and the Python
environment at the driver's paths, and write to the same state folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from weatherglass.settings import LOOPBACK, Settings

FEATURES_JAR = Path(__file__).resolve().with_name("weatherglass.jar")
"""The compiled `java/`: built by `make setup`, and part of the wheel."""

LOCAL_FILES = "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem"
"""Java's own calls instead of Hadoop's helper process (chmod, stat) for every file."""

JVM_OPTIONS = "-XX:+UseSerialGC -XX:MaxMetaspaceSize=320m -XX:ReservedCodeCacheSize=160m -Xss2m -Duser.timezone=UTC"
"""Of each Java process."""

CLUSTER_JIT_OPTIONS = (
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)
"""Of a cluster's executors and drivers: a method is called, or a loop runs, ten times as often as Java would have it
before the second compiler takes it. Otherwise that compiler has half of an executor's processor time in the first
minute, on the one core that it shares with the work, for code of the start that hardly runs again. Not on one machine,
where a job compiles once, with a core beside it: there a backlog takes a tenth longer with them."""


def environment(settings: Settings) -> dict[str, str]:
    """Of every spark-submit: Spark's UI knows no setting for its address and would listen on all of them."""
    return {} if settings.spark_master else {"SPARK_LOCAL_IP": LOOPBACK, "SPARK_LOCAL_HOSTNAME": LOOPBACK}


def stream_conf(settings: Settings) -> dict[str, str]:
    """Of the features job, which never ends."""
    return _common(settings) | {
        "spark.ui.enabled": "true",
        "spark.ui.port": str(settings.spark_ui_port),
        "spark.port.maxRetries": "0",  # a UI on another port than the one printed helps nobody
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
        # Without it an idle stream runs an empty batch to close windows; in update mode that shows nothing new.
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        # One watermark for late rows and for closing windows: that of the batch, which its progress tells. The other
        # mode, for chained stateful operators, drops late rows by the watermark of the batch before.
        "spark.sql.streaming.statefulOperator.allowMultiple": "false",
        "spark.sql.streaming.numRecentProgressUpdates": "10",
        # For Prometheus, at /metrics/prometheus/ of the UI, under names that do not change with every start.
        "spark.metrics.conf.*.sink.prometheusServlet.class": "org.apache.spark.metrics.sink.PrometheusServlet",
        "spark.metrics.conf.*.sink.prometheusServlet.path": "/metrics/prometheus",
        "spark.metrics.namespace": "weatherglass",
        "spark.sql.streaming.metricsEnabled": "true",
        # No code is generated, neither for projections nor for whole stages: what is heavy is in Java already, and each
        # batch would take longer to write and look up the code of the rest than its rows gain by it.
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.hadoop.fs.file.impl": LOCAL_FILES,
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
    }


def batch_conf(settings: Settings) -> dict[str, str]:
    """Of a job that ends by itself."""
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
        # On the class path of the start, so that they need not be copied and served to the job's own executor.
        "spark.driver.extraClassPath": jars,
        "spark.driver.extraJavaOptions": _jvm_options(settings),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark_cores),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
        "spark.log.level": "WARN",
    }


def _jvm_options(settings: Settings) -> str:
    return f"{JVM_OPTIONS} {CLUSTER_JIT_OPTIONS}" if settings.spark_master else JVM_OPTIONS


def _local(settings: Settings) -> dict[str, str]:
    return {
        "spark.master": f"local[{settings.spark_cores}]",
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
    }


def _cluster(settings: Settings, jars: str) -> dict[str, str]:
    return {
        "spark.master": settings.spark_master,
        "spark.cores.max": str(settings.spark_cores),
        "spark.executor.cores": "1",
        "spark.executor.memory": f"{settings.spark_memory_mb}m",
        "spark.executor.extraClassPath": jars,
        "spark.executor.extraJavaOptions": _jvm_options(settings),
        # A worker that is lost is missed within half a minute, not two.
        "spark.network.timeout": "30s",
        "spark.network.timeoutInterval": "10s",
        "spark.executor.heartbeatInterval": "5s",
        # A task that waits for nothing but a lost executor's place in the cache waits no longer than a batch.
        "spark.locality.wait": "200ms",
    }

"""Network traffic of the Kafka clients in Spark's driver, from their management beans."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from weatherglass.consumer.client_metrics import BYTE_RATES

CLIENTS = (
    "kafka.consumer:type=consumer-metrics,client-id=*",
    "kafka.producer:type=producer-metrics,client-id=*",
    "kafka.admin.client:type=admin-client-metrics,client-id=*",
)
"""Names of the beans with the sums of all connections of a client."""


class KafkaTraffic:
    """Without a cluster, the driver's clients are all of the job's; executors in other processes have their own."""

    def __init__(self, spark: SparkSession):
        gateway: Any = spark.sparkContext._gateway
        self._gateway, java = gateway, gateway.jvm
        self._name = java.javax.management.ObjectName
        self._beans = java.java.lang.management.ManagementFactory.getPlatformMBeanServer()
        # The class of the server is not exported by its module, so its methods are called as those of the interface.
        interface = java.java.lang.Class.forName("javax.management.MBeanServer")
        self._methods = {method.getName(): method for method in interface.getMethods()}

    def byte_rates(self) -> dict[str, float]:
        """Bytes per second that the clients `received` and `sent`, on average over the last 30 to 60 seconds."""
        total = dict.fromkeys(BYTE_RATES, 0.0)
        for pattern in CLIENTS:
            for client in self._call("queryNames", self._name(pattern), None):
                with suppress(Py4JJavaError):  # the client was closed meanwhile
                    rates = {name: self._call("getAttribute", client, metric) for name, metric in BYTE_RATES.items()}
                    total = {name: rate + rates[name] for name, rate in total.items()}
        return {name: round(rate, 1) for name, rate in total.items()}

    def _call(self, method: str, *arguments: Any) -> Any:
        array = self._gateway.new_array(self._gateway.jvm.java.lang.Object, len(arguments))
        for index, argument in enumerate(arguments):
            array[index] = argument
        return self._methods[method].invoke(self._beans, array)

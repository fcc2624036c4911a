"""A complete stack behind the proxy, started as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.proxy import Proxy
from tests.conftest import free_ports
from tests.e2e.running import START_LIMIT, RunningStack
from tests.waiting import until
from weatherglass.alerts.health import HealthState, pipeline_health
from weatherglass.launcher.processes import launcher_is_running
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store.engine import open_store
from weatherglass.topics import FEATURES, INFERENCE_GROUP, PREDICTIONS, RAW, SHADOW, SPARK_GROUP, STORE_GROUP

HEALTH_SECONDS = 2.0
DATA = ("observations", "predictions", "model")
"""Components whose state depends on the load: the model does not know its stations, and some messages are rejected. The
checker checks the data."""
READERS = (
    (SPARK_GROUP, RAW),
    (INFERENCE_GROUP, FEATURES),
    *((STORE_GROUP, topic) for topic in (RAW, FEATURES, PREDICTIONS, SHADOW)),
)
"""Consumer groups and the topics that they read, in the order of the data."""


class ChaosStack(RunningStack):
    """A stack whose clients reach the broker through `proxy`."""

    def __init__(self, settings: Settings, folder: Path):
        super().__init__(settings, folder)
        self.proxy = Proxy(settings.kafka_port)
        self._internal = free_ports(1)[0]
        self._output_start = 0

    def up(self) -> None:
        """Start, and return when all components are healthy."""
        self.start_launcher()
        self._wait_until_healthy()
        self._login()

    def start_launcher(self) -> None:
        """Start the launcher; it ends what an earlier one that was killed has left."""
        self._output_start = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "tests.chaos.launch", str(self._internal), str(self.proxy.port)],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def is_healthy(self) -> bool:
        """Whether the launcher, all servers and all jobs are ok."""
        store = open_store(self.settings.store_url)
        try:
            components = pipeline_health(self.settings, datetime.now(UTC), store).components
        finally:
            store.dispose()
        failed = [one for one in components if one.name not in DATA and one.state is not HealthState.OK]
        return not failed and launcher_is_running(self.settings)

    def settle(self) -> None:
        """Start the launcher if it does not run, wait until everything is healthy, and stop ingestion.

        Raises:
            AssertionError: the stack does not become healthy.
        """
        if not launcher_is_running(self.settings):
            self.start_launcher()
        self._wait_until_healthy()
        self._login()
        self.pause("ingest_observations", True)

    def _wait_until_healthy(self) -> None:
        def healthy() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"the launcher has exited, see {self.output}"
            output = self.output.read_bytes()[self._output_start :]
            is_started = f"{self.base}/plugin/weatherglass".encode() in output  # addresses are the end of the start
            return is_started and self.is_healthy()

        until("all components to be healthy", healthy, START_LIMIT, interval=HEALTH_SECONDS)

    def lags(self) -> dict[str, int]:
        """Records that are not read yet, by group and topic."""
        return {f"{group} {topic}": self.lag(group, topic) for group, topic in READERS}

    def down(self) -> None:
        """Stop everything, also what ignores it."""
        try:
            super().down()
        finally:
            for process in self.processes():
                process.kill()
            self.proxy.close()

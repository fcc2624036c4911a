"""Numbers of requests answered by the API, read from the files that its processes write."""

from __future__ import annotations

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.metric_files import read_request_counts
from weatherglass.settings import Settings


class ApiMetrics:
    def __init__(self, settings: Settings):
        self._settings = settings
        self._last_counts = read_request_counts(settings)
        self._ok = self._errors = 0

    def collect(self, sample: MetricSample) -> None:
        """Counts since the start of the monitor. They do not decrease when an API process restarts."""
        for process, (ok, errors) in read_request_counts(self._settings).items():
            last_ok, last_errors = self._last_counts.get(process, (0, 0))
            restarted = ok < last_ok or errors < last_errors
            self._ok += ok if restarted else ok - last_ok
            self._errors += errors if restarted else errors - last_errors
            self._last_counts[process] = ok, errors
        if self._last_counts:
            sample.put(m.API_REQUESTS, self._ok, "ok")
            sample.put(m.API_REQUESTS, self._errors, "error")

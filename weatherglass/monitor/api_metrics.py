"""How many requests the API has answered, as its processes write it down."""

from __future__ import annotations

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.exchange import read_answers
from weatherglass.settings import Settings


class ApiMetrics:
    def __init__(self, settings: Settings):
        self._settings = settings
        self._seen = read_answers(settings)
        self._ok = self._errors = 0

    def look(self, sample: MetricSample) -> None:
        """Counts go on though an API process is started anew; those before the watcher's start are left out."""
        for process, (ok, errors) in read_answers(self._settings).items():
            had_ok, had_errors = self._seen.get(process, (0, 0))
            anew = ok < had_ok or errors < had_errors
            self._ok += ok if anew else ok - had_ok
            self._errors += errors if anew else errors - had_errors
            self._seen[process] = ok, errors
        if self._seen:
            sample.put(m.API_REQUESTS, self._ok, "ok")
            sample.put(m.API_REQUESTS, self._errors, "error")

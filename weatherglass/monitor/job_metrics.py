"""Metrics of the long-lived jobs: whether they run and make progress, and the values that they report."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import STARTUP_GRACE, required_jobs
from weatherglass.alerts.sample import MetricSample
from weatherglass.jobs.folder import HOST_LOCK, JobFolder, is_locked
from weatherglass.jobs.progress_tail import ProgressTail
from weatherglass.net import accepts_connections
from weatherglass.settings import Settings

STREAM, SERVE, STORE = "stream_features", "serve_predictions", "store_predictions"
STATES = {"ok": 0, "degraded": 1, "failing": 2}
CHALLENGER = "challenger"
"""Not exported: the challenger's predictions are not published, so its state raises no alert."""
MIN_TRIGGER_SECONDS = 1.0
"""Compared with batch durations if the trigger is 0 s, which means as fast as possible."""


class JobMetrics:
    def __init__(self, settings: Settings, jobs: tuple[str, ...] | None = None):
        self._settings = settings
        self._folders = {name: JobFolder(settings.jobs_dir / name) for name in jobs or required_jobs(settings)}
        self._progress = {name: ProgressTail(folder.progress) for name, folder in self._folders.items()}
        self._start_ids = {name: folder.started().get("start_id") for name, folder in self._folders.items()}
        self._starts: Counter[str] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._last_restarts: int | None = None

    def collect(self, sample: MetricSample) -> None:
        sample.put(m.JOB_HOST_UP, is_locked(self._settings.jobs_dir / HOST_LOCK))
        new = {name: self._put_job(sample, name, folder) for name, folder in self._folders.items()}
        self._put_stream(sample, new[STREAM])
        self._put_inference(sample, new[SERVE])
        self._put_sink(sample, new[STORE])

    def _put_job(self, sample: MetricSample, name: str, folder: JobFolder) -> list[dict[str, Any]]:
        started = folder.started()
        if started:
            if started.get("start_id") != self._start_ids[name]:
                self._starts[name] += 1
                self._start_ids[name] = started.get("start_id")
            alive = folder.alive()
            sample.put(m.JOB_UP, alive, name)
            sample.put(m.JOB_STARTS, self._starts[name], name)
            heartbeat_age = folder.heartbeat_age(sample.at)
            start = _time(started.get("at"))
            if alive and heartbeat_age is not None and start and sample.at - start > STARTUP_GRACE:
                sample.put(m.JOB_SILENCE, max(heartbeat_age, 0.0), name)
        return self._progress[name].read()

    def _count(self, name: str, reports: list[dict[str, Any]], *fields: str) -> Counter[str]:
        counts = self._counts[name]
        for report in reports:
            counts.update({f: report[f] for f in fields if isinstance(report.get(f), int | float)})
        return counts

    def _put_stream(self, sample: MetricSample, reports: list[dict[str, Any]]) -> None:
        batches = [report for report in reports if "batch" in report and "ms" in report]
        counts = self._count(STREAM, batches, "rows", "late")
        counts["batches"] += len(batches)
        sample.put(m.BATCHES, counts["batches"])
        sample.put(m.ROWS, counts["rows"])
        sample.put(m.LATE_ROWS, counts["late"])
        if batches:
            seconds = sum(batch["ms"] for batch in batches) / len(batches) / 1000
            trigger = max(self._settings.spark_trigger_seconds, MIN_TRIGGER_SECONDS)
            sample.put(m.BATCH_OVER_TRIGGER, seconds / trigger)
            sample.put(m.ROWS_PER_SECOND, max(batch.get("rows_per_second") or 0 for batch in batches))
            phases: Counter[str] = Counter()
            for batch in batches:
                phases.update(batch.get("ms_by_phase") or {"triggerExecution": batch["ms"]})
            for phase, milliseconds in phases.items():
                sample.put(m.BATCH_SECONDS, milliseconds / len(batches) / 1000, phase)
        last = self._folders[STREAM].last_progress() or {}
        for name, metric in {"state_rows": m.STATE_ROWS, "state_bytes": m.STATE_BYTES}.items():
            if isinstance(last.get(name), int | float):
                sample.put(metric, last[name])

    def _put_inference(self, sample: MetricSample, reports: list[dict[str, Any]]) -> None:
        sample.put(m.RAY_UP, accepts_connections(self._settings.ray_head))
        counts = self._count(SERVE, reports, "records", "predictions", "rejected")
        sample.put(m.INFERENCE_RECORDS, counts["records"])
        sample.put(m.INFERENCE_PREDICTIONS, counts["predictions"])
        sample.put(m.SKIPPED_RECORDS, counts["rejected"], SERVE)
        for report in reports:
            total = report.get("restarts")
            if isinstance(total, int):
                if self._last_restarts is not None and total > self._last_restarts:
                    counts["restarts"] += total - self._last_restarts
                self._last_restarts = total
        sample.put(m.ACTOR_RESTARTS, counts["restarts"])
        if not self._folders[SERVE].alive():
            return
        last = self._folders[SERVE].last_progress() or {}
        for name, status in (last.get("actors") or {}).items():
            sample.put(m.ACTOR_UP, STATES.get(status.get("state"), 2) < STATES["failing"], name)
        for name, status in (last.get("models") or {}).items():
            if name != CHALLENGER:
                sample.put(m.MODEL_STATE, STATES.get(status.get("state"), 2), name)
        last_batch = next((report for report in reversed(reports) if "ms" in report), None)
        if last_batch:
            sample.put(m.INFERENCE_SECONDS, last_batch["ms"] / 1000)
            if isinstance(last_batch.get("rss_mb"), int | float):
                sample.put(m.ACTOR_BYTES, last_batch["rss_mb"] * 1e6)
        if last.get("model_version"):
            sample.put(m.MODEL_INFO, 1, str(last["model_version"]))

    def _put_sink(self, sample: MetricSample, reports: list[dict[str, Any]]) -> None:
        counts = self._count(STORE, reports, "observations", "predictions", "skipped")
        for kind in ("observations", "predictions"):
            sample.put(m.STORED_RECORDS, counts[kind], kind)
        sample.put(m.SKIPPED_RECORDS, counts["skipped"], STORE)


def _time(text: object) -> datetime | None:
    """A time with a time zone; None if `text` is not one."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else None

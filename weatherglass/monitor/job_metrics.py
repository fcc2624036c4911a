"""The long-lived jobs: whether they live and get on, and the figures that they report."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import JOBS, STARTUP_GRACE
from weatherglass.alerts.sample import MetricSample
from weatherglass.jobs.folder import HOST_LOCK, JobFolder, held
from weatherglass.jobs.progress_tail import ProgressTail
from weatherglass.net import answers
from weatherglass.settings import Settings

STREAM, SERVE, STORE = "stream_features", "serve_predictions", "store_predictions"
STATES = {"ok": 0, "degraded": 1, "failing": 2}
CHALLENGER = "challenger"
"""It serves nobody, so its state is no alert."""
SHORTEST_TRIGGER = 1.0
"""A trigger of 0 s means as fast as it can: its batches are measured against this."""


class JobMetrics:
    def __init__(self, settings: Settings, watched: tuple[str, ...] = JOBS):
        self._settings = settings
        self._folders = {name: JobFolder(settings.jobs_dir / name) for name in watched}
        self._following = {name: ProgressTail(folder.progress) for name, folder in self._folders.items()}
        self._start_ids = {name: folder.started().get("start_id") for name, folder in self._folders.items()}
        self._starts: Counter[str] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._newest: str | None = None
        self._restarts_seen: int | None = None

    def look(self, sample: MetricSample) -> None:
        sample.put(m.JOB_HOST_UP, held(self._settings.jobs_dir / HOST_LOCK))
        new = {name: self._look_at(sample, name, folder) for name, folder in self._folders.items()}
        self._stream(sample, new[STREAM])
        self._serve(sample, new[SERVE])
        self._store(sample, new[STORE])

    def _look_at(self, sample: MetricSample, name: str, folder: JobFolder) -> list[dict[str, Any]]:
        started = folder.started()
        if started:
            if started.get("start_id") != self._start_ids[name]:
                self._starts[name] += 1
                self._start_ids[name] = started.get("start_id")
            alive = folder.alive()
            sample.put(m.JOB_UP, alive, name)
            sample.put(m.JOB_STARTS, self._starts[name], name)
            silence = folder.silence(sample.at)
            begun = _time(started.get("at"))
            if alive and silence is not None and begun and sample.at - begun > STARTUP_GRACE:
                sample.put(m.JOB_SILENCE, max(silence, 0.0), name)
        return self._following[name].read()

    def _count(self, name: str, reports: list[dict[str, Any]], *figures: str) -> Counter[str]:
        counts = self._counts[name]
        for report in reports:
            counts.update({f: report[f] for f in figures if isinstance(report.get(f), int | float)})
        return counts

    def _stream(self, sample: MetricSample, reports: list[dict[str, Any]]) -> None:
        batches = [report for report in reports if "batch" in report and "ms" in report]
        counts = self._count(STREAM, batches, "rows", "too_late")
        counts["batches"] += len(batches)
        sample.put(m.BATCHES, counts["batches"])
        sample.put(m.ROWS, counts["rows"])
        sample.put(m.LATE_ROWS, counts["too_late"])
        if batches:
            seconds = sum(batch["ms"] for batch in batches) / len(batches) / 1000
            trigger = max(self._settings.spark_trigger_seconds, SHORTEST_TRIGGER)
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
        self._newest = max(filter(None, [self._newest, *(batch.get("newest") for batch in batches)]), default=None)
        watermark, newest = _time(last.get("watermark")), _time(self._newest)
        if watermark and watermark.year > 1970:
            sample.put(m.WATERMARK_AGE, (sample.at - watermark).total_seconds())
            if newest:
                sample.put(m.WATERMARK_LAG, max((newest - watermark).total_seconds(), 0.0))

    def _serve(self, sample: MetricSample, reports: list[dict[str, Any]]) -> None:
        sample.put(m.RAY_UP, answers(self._settings.ray_head))
        counts = self._count(SERVE, reports, "records", "answers")
        sample.put(m.INFERENCE_RECORDS, counts["records"])
        sample.put(m.INFERENCE_ANSWERS, counts["answers"])
        for report in reports:
            total = report.get("restarts")
            if isinstance(total, int):
                if self._restarts_seen is not None and total > self._restarts_seen:
                    counts["restarts"] += total - self._restarts_seen
                self._restarts_seen = total
        sample.put(m.ACTOR_RESTARTS, counts["restarts"])
        if not self._folders[SERVE].alive():
            return
        last = self._folders[SERVE].last_progress() or {}
        for name, one in (last.get("actors") or {}).items():
            sample.put(m.ACTOR_UP, STATES.get(one.get("state"), 2) < STATES["failing"], name)
        for name, one in (last.get("models") or {}).items():
            if name != CHALLENGER:
                sample.put(m.MODEL_STATE, STATES.get(one.get("state"), 2), name)
        spoken = next((report for report in reversed(reports) if "ms" in report), None)
        if spoken:
            sample.put(m.INFERENCE_SECONDS, spoken["ms"] / 1000)
            if isinstance(spoken.get("rss_mb"), int | float):
                sample.put(m.ACTOR_BYTES, spoken["rss_mb"] * 1e6)
        if last.get("model_version"):
            sample.put(m.MODEL_INFO, 1, str(last["model_version"]))

    def _store(self, sample: MetricSample, reports: list[dict[str, Any]]) -> None:
        counts = self._count(STORE, reports, "observations", "predictions", "skipped")
        for kind in ("observations", "predictions", "skipped"):
            sample.put(m.STORED, counts[kind], kind)


def _time(text: object) -> datetime | None:
    """A time with its zone; None where there is none."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else None

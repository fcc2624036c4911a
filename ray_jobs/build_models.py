"""Trains the models that are shipped with Weatherglass, see `weatherglass.registry.shipped`. `make models` runs it.

    python -m ray_jobs.build_models FOLDER

It needs the prepared history of the bundled observations in the state folder, and runs the steps of a first training
one after the other, without Ray. The same code, packages and machine give the same files. A run that was interrupted
continues with the steps that are missing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ray_jobs.training import steps
from ray_jobs.training.context import load_context, model_folders
from ray_jobs.training.folder import TrainingFolder
from ray_jobs.training.plan import REGISTERED, SCORES, SEED, TEST_CASES, TrainingPlan, code_version
from ray_jobs.training.promotion import PromotionDecision
from ray_jobs.training.register import version_tags
from weatherglass.files import file_digest, write_atomically
from weatherglass.forecast.presets import SIZES
from weatherglass.history.prepared import Manifest, read_complete_manifest
from weatherglass.history.sources.calendar import replay_calendar
from weatherglass.registry import shipped
from weatherglass.registry.bundle import BundleInfo, write_bundle
from weatherglass.settings import Settings, Source, load_settings

SIZE = "first"
THREADS = 2


def build(settings: Settings, manifest: Manifest, target: Path) -> None:
    """Train the models for each part of the year; write the bundles and their checksums to a folder."""
    target.mkdir(parents=True, exist_ok=True)
    year = replay_calendar(settings).last.year
    for part in range(1, shipped.PARTS + 1):
        plan = _plan(manifest, part, year)
        folder = _train(settings, plan)
        decision = folder.load(SCORES, PromotionDecision)
        grid, _ = load_context(folder)
        # A refit splits the hours again up to this one; the manifest also has those that were left out at the end.
        tags = version_tags(plan) | {"data_last_hour": f"{grid.hours[-1].astype('datetime64[s]')}Z"}
        for kind in shipped.KINDS:
            info = BundleInfo(
                kind=kind,
                exported_version=str(part),
                tags=tags,
                params={name: str(value) for name, value in decision.params.items()},
                metrics=decision.metrics[kind],
            )
            file = target / shipped.file_name(kind, part)
            write_bundle(info, model_folders(folder)[kind], file)
            print(f"{file.name}: {file.stat().st_size:,} bytes", flush=True)
        folder.remove()
    files = sorted(target.glob("*.zip"))
    write_atomically(target / shipped.CHECKSUMS, "".join(f"{file_digest(file)}  {file.name}\n" for file in files))


def _plan(manifest: Manifest, part: int, year: int) -> TrainingPlan:
    first, end = shipped.period(part, year)
    return TrainingPlan(
        size=SIZE,
        model_size=SIZES[SIZE],
        seed=SEED,
        search_trials=0,
        test_cases=TEST_CASES[SIZE],
        manifest=manifest,
        code=code_version(),
        started_at=first,
        requested_by="make models",
        new_data="no earlier training to compare the history with",
        last_start=end,
    )


def _train(settings: Settings, plan: TrainingPlan) -> TrainingFolder:
    folder = TrainingFolder.open(settings.state_dir / "training", plan)
    began = time.monotonic()
    for step in (step for stage in plan.stages for step in stage if step != REGISTERED):
        if not folder.has(step):
            lines = steps.run(settings, folder.path, step, THREADS)
            print(f"[{time.monotonic() - began:6.1f} s] {lines}", flush=True)
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.build_models", description="Train the models that are shipped with Weatherglass."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=shipped.FOLDER, help="for the bundles and checksums")
    options = parser.parse_args(arguments)
    settings = load_settings().model_copy(update={"source": Source.REPLAY, "kaggle_zip": None})
    manifest = read_complete_manifest(settings.history_dir)
    if manifest is None or manifest.source != shipped.BUNDLED:
        print(f"no history of {shipped.BUNDLED} in {settings.history_dir}: use `make models`", file=sys.stderr)
        return 1
    build(settings, manifest, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make status`: in one screen what runs, what lags, and how old the newest of everything is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.health import HealthState, pipeline_health
from weatherglass.formatting import words
from weatherglass.launcher.consumer_lag import lags
from weatherglass.launcher.latest_forecast import in_words
from weatherglass.launcher.processes import members
from weatherglass.launcher.resource_usage import total, usage
from weatherglass.launcher.stopping import launcher_runs
from weatherglass.registry.registry import KINDS, Registry
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store

SIGNS = {HealthState.OK: "ok", HealthState.DEGRADED: "DEGRADED", HealthState.FAILING: "FAILING"}
NOTHING_RUNS = 3


def show(settings: Settings) -> int:
    """Print the screen; 0 if everything is green, 1 if not, 3 if nothing runs."""
    if not launcher_runs(settings) and not members(settings):
        print(f"Weatherglass does not run (state folder {settings.state_dir}); `make up` starts it.")
        return NOTHING_RUNS
    now = datetime.now(UTC)
    store = open_store(settings.store_url)
    try:
        health = pipeline_health(settings, now, store)
    finally:
        store.dispose()
    watched = launcher_runs(settings)
    green = health.state is HealthState.OK and watched
    print(f"Weatherglass in {settings.state_dir}: {'everything is green' if green else 'NOT everything is green'}")
    if not watched:
        print("NOBODY WATCHES it: the launcher was killed; `make down` ends what is left, `make up` starts anew")
    sections = {
        "Programs": _programs(settings, now),
        "Parts": [f"{part.name:<20}{SIGNS[part.state]:<10}{part.detail}" for part in health.parts],
        "Lag (messages a consumer group is behind)": _lags(settings),
        "Models": _models(settings),
        "A prediction": _prediction(settings),
    }
    for title, lines in sections.items():
        print("\n  ".join(["", title, *lines]).replace("\n  ", "\n", 1))
    return 0 if green else 1


def _programs(settings: Settings, now: datetime) -> list[str]:
    rows = usage(settings)
    lines = [f"{'':<20}{'processes':>9}{'up':>9}{'memory MB':>11}{'cores':>8}"]
    for row in [*rows, total("all", rows)]:
        up = words(timedelta(seconds=now.timestamp() - row.since))
        lines.append(f"{row.name:<20}{row.processes:>9}{up:>9}{row.memory / 1e6:>11.0f}{row.cpu:>8.2f}")
    return lines


def _lags(settings: Settings) -> list[str]:
    try:
        found = lags(settings)
    except (KafkaError, OSError) as error:
        return [f"unknown: {type(error).__name__}: {error}"]
    return [
        f"{group:<26}{topic:<22}{'nothing read yet' if lag is None else lag:>8}"
        for (group, topic), lag in found.items()
    ]


def _models(settings: Settings) -> list[str]:
    lines = []
    for kind in KINDS:
        try:
            champion = Registry(settings).champion(kind)
            lines.append(f"{kind:<20}{f'version {champion.version}' if champion else 'none yet'}")
        except SQLAlchemyError as error:
            lines.append(f"{kind:<20}the registry cannot be read: {error}")
    return lines


def _prediction(settings: Settings) -> list[str]:
    try:
        return [in_words(settings) or "none yet"]
    except SQLAlchemyError as error:
        return [f"the store cannot be read: {error}"]

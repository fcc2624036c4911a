"""`weatherglass simulate`: publish the observations of simulated stations."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from producer.publish import PublishError
from producer.simulation.simulator import Publication, Simulator
from weatherglass.cli.simulate_arguments import OPTIONS
from weatherglass.settings import Settings
from weatherglass.store.detection_scores import InjectedFault, save_faults
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

INVALID = 2


def simulate(settings: Settings, options: argparse.Namespace) -> int:
    """Publish until Ctrl-C or the end of `--minutes`; returns the exit status: 1 if the broker failed."""
    stated = {setting: getattr(options, name) for name, (setting, _) in OPTIONS.items()}
    changed = {setting: value for setting, value in stated.items() if value is not None}
    try:
        settings = Settings.model_validate(settings.model_dump() | changed)
    except ValidationError as error:
        for problem in error.errors():
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return INVALID
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    end = time.monotonic() + 60 * options.minutes if options.minutes else None
    simulator = Simulator(settings, None, datetime.now(UTC))
    publication = Publication(
        simulator,
        lambda _: None,
        lambda message, **_: print(message, flush=True),
        lambda labels: _save_labels(settings, labels),
    )
    print(f"Simulating {settings.simulate_stations} stations, {settings.simulate_rate:g} observations per second")

    def wait(seconds: float) -> bool:
        return stop.wait(seconds) or (end is not None and time.monotonic() >= end)

    try:
        publication.run(settings, wait, lambda: datetime.now(UTC))
    except PublishError as error:
        print(f"{error}\nStart the pipeline first: make up", file=sys.stderr)
        return 1
    return 0


def _save_labels(settings: Settings, labels: Sequence[InjectedFault]) -> None:
    if not labels:
        return
    migrate(settings.store_url)
    engine = open_store(settings.store_url)
    try:
        with engine.begin() as connection:
            save_faults(connection, labels)
    finally:
        engine.dispose()

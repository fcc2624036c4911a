"""Benchmark of the whole pipeline.

    python -m benchmarks.pipeline [SCENARIO…] [--stations 20] [--rate 20] [--workers 1] [--minutes 2]

Uses the broker and the Ray head of the running pipeline, or starts its own. Results go to the store, and to
`benchmarks/results` in the state folder. Started again after an interruption, with the same arguments, it measures
only what is missing.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from benchmarks.pipeline.isolated import FOLDER, PipelineFailed
from benchmarks.pipeline.results import environment
from benchmarks.pipeline.run import WARM_UP_SECONDS, BenchmarkFailed, run_scenario
from benchmarks.pipeline.scenarios import DEFAULT, Load, Scenario
from benchmarks.pipeline.services import services
from benchmarks.pipeline.session import Session
from weatherglass.files import exclusive_lock
from weatherglass.settings import Settings, SettingsError, load_settings


def log(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [str(scenario) for scenario in Scenario]
    parser.add_argument(
        "scenarios", nargs="*", default=names, metavar="SCENARIO", help=f"{', '.join(names)}; default: all"
    )
    parser.add_argument("--stations", type=int, default=DEFAULT.stations)
    parser.add_argument("--rate", type=float, default=DEFAULT.rate, help="observations per second of all stations")
    parser.add_argument("--workers", type=int, default=DEFAULT.workers, help="Spark's cores, and inference actors")
    parser.add_argument("--minutes", type=float, default=2.0, help="duration of each measurement")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_SECONDS, help="seconds before each measurement")
    options = parser.parse_args()
    try:
        scenarios = [Scenario(name) for name in options.scenarios]
        base = Load(options.stations, options.rate, options.workers)
    except ValueError as error:
        parser.error(str(error))
    if not (options.minutes > 0 and options.warm_up >= 0):
        parser.error("--minutes must be positive, and --warm-up not negative")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` sets it
            signal.signal(number, lambda received, _: sys.exit(128 + received))  # an exception: everything is removed
    try:
        return run(load_settings(), scenarios, base, options)
    except (PipelineFailed, SettingsError) as error:
        log(str(error))
        return 1


def run(installation: Settings, scenarios: Sequence[Scenario], base: Load, options: argparse.Namespace) -> int:
    """Measure with services; the exit code. A second call with the same state folder would end those of the first."""
    with ExitStack() as stack:
        lock = installation.state_dir / FOLDER / "command.lock"
        try:
            stack.enter_context(exclusive_lock(lock, wait=False))
        except BlockingIOError:
            log(f"Another benchmark is running: it holds {lock}. Start this one when it has ended")
            return 1
        settings, broker = stack.enter_context(services(installation, log))
        return int(not measure(settings, broker, scenarios, base, options))


def measure(
    settings: Settings, broker: int | None, scenarios: Sequence[Scenario], base: Load, options: argparse.Namespace
) -> bool:
    """Measure the scenarios; False if a load could not be measured, which the next call then repeats."""
    failed = False
    session = Session(settings.state_dir / FOLDER / "unfinished.json", vars(options), environment())
    if session.continued:
        log("Continuing where the last benchmark was interrupted")
    for scenario in scenarios:
        run, seconds = session.run(scenario), 60 * options.minutes
        try:
            run_scenario(settings, run, scenario, base, seconds, log, options.warm_up, broker)
        except BenchmarkFailed as error:
            log(str(error))
            failed = True
    if not failed:
        session.finish()
    return not failed


if __name__ == "__main__":
    sys.exit(main())

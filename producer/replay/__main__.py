"""`python -m producer.replay`: run the replay server until TERM or Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime

from producer.replay.api import Replay
from producer.replay.clock import open_clock
from producer.replay.data import load_data
from producer.replay.faults import ReplayFaults
from producer.replay.server import ReplayServer
from weatherglass.history.sources import SourceError
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import StationsError


def _now() -> datetime:
    return datetime.now(UTC)


def serve(settings: Settings) -> None:
    data = load_data(settings)
    faults = ReplayFaults(data, settings.replay_faults) if settings.replay_faults else None
    replay = Replay(data, open_clock(settings, _now()), faults)
    server = ReplayServer(settings.replay_host, settings.replay_port, replay, _now)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()  # a call in this thread would deadlock

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    time, calendar = replay.clock.time(_now()), replay.data.calendar
    print(
        f"Replay ready at {settings.replay_url}: {replay.data.name}, {len(replay.data.stations)} stations; time "
        f"{iso(time.replace(microsecond=0))}, data of {iso(calendar.data_time(time).replace(microsecond=0))}"
        + (f"; FAULTS ARE INJECTED into {faults.share:.1%} of the values" if faults else ""),
        flush=True,
    )
    with server:
        server.serve_forever(poll_interval=0.2)


def main() -> int:
    try:
        serve(load_settings())
    except (SettingsError, SourceError, StationsError, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"replay: cannot bind ({error}); set WEATHERGLASS_REPLAY_PORT to another port", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

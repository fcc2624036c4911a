"""Load generator of the features benchmark, a separate process: observations of ~370 bytes on `weather-raw`.

python -m benchmarks.feature_load backlog SERVERS JARS --start TIME --minutes 30 --stations 100 --messages 900000
python -m benchmarks.feature_load live SERVERS JARS --stations 100 --rate 1000 --seconds 30 --log FILE
"""

from __future__ import annotations

import argparse
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from weatherglass.settings import load_settings

PADDING = "x" * 170
"""An unknown field that gives a message a realistic size."""


def message(station: int, time_: datetime, draw: random.Random) -> str:
    milliseconds = time_.microsecond // 1000
    return (
        f'{{"station_id":"station-{station:04d}","timestamp":"{time_:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z",'
        f'"temperature":{12 + 3 * draw.random():.1f},"humidity":{60 + 20 * draw.random():.1f},'
        f'"pressure":{1000 + 5 * draw.random():.1f},"wind_speed":{9 * draw.random():.2f},'
        f'"wind_direction":{int(360 * draw.random())},"note":"{PADDING}"}}'
    )


def backlog(start: datetime, minutes: float, stations: int, messages: int) -> Iterator[str]:
    """Keys and values, separated by a tab, in order of time."""
    draw = random.Random(1)  # noqa: S311
    for i in range(messages):
        at = start + timedelta(minutes=minutes) * i / messages
        yield f"station-{i % stations:04d}\t{message(i % stations, at, draw)}\n"


@contextmanager
def console_producer(servers: str, jars: Path, *settings: str) -> Iterator[IO[str]]:
    """Kafka's console producer, which reads lines with key and value separated by a tab.

    A producer in Python would take minutes for a backlog, and most of a core for 1,000 messages a second.
    """
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{jars}/*", "org.apache.kafka.tools.ConsoleProducer"]
    options = [
        "--bootstrap-server",
        servers,
        "--topic",
        load_settings().topics.raw,
        "--reader-property",
        "parse.key=true",
    ]
    properties = [item for setting in ("acks=1", *settings) for item in ("--command-property", setting)]
    with subprocess.Popen([*command, *options, *properties], stdin=subprocess.PIPE, text=True) as producer:
        assert producer.stdin
        yield producer.stdin
    if producer.returncode:
        raise SystemExit(f"The console producer exited with {producer.returncode}")


def send_backlog(servers: str, jars: Path, lines: Iterator[str]) -> None:
    with console_producer(servers, jars, "linger.ms=20", "batch.size=262144") as producer:
        producer.writelines(lines)


def send_live(servers: str, jars: Path, stations: int, rate: float, seconds: float, log: Path) -> None:
    """Send observations at a constant rate; the log contains station and production time of each."""
    draw = random.Random(1)  # noqa: S311
    with console_producer(servers, jars, "linger.ms=0") as producer, log.open("w", encoding="utf-8") as file:
        begin = time.monotonic()
        for i in range(int(rate * seconds)):
            if (wait := begin + i / rate - time.monotonic()) > 0:
                time.sleep(wait)
            now = datetime.now(UTC)
            name = f"station-{i % stations:04d}"
            producer.write(f"{name}\t{message(i % stations, now, draw)}\n")
            producer.flush()
            file.write(f"{name} {int(now.timestamp() * 1000) / 1000:.3f}\n")  # with the precision of the message


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    past = commands.add_parser("backlog")
    past.add_argument("servers")
    past.add_argument("jars", type=Path)
    past.add_argument("--start", type=datetime.fromisoformat, required=True)
    past.add_argument("--minutes", type=float, required=True)
    past.add_argument("--stations", type=int, required=True)
    past.add_argument("--messages", type=int, required=True)
    live = commands.add_parser("live")
    live.add_argument("servers")
    live.add_argument("jars", type=Path)
    live.add_argument("--stations", type=int, required=True)
    live.add_argument("--rate", type=float, required=True)
    live.add_argument("--seconds", type=float, required=True)
    live.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "backlog":
        lines = backlog(options.start, options.minutes, options.stations, options.messages)
        send_backlog(options.servers, options.jars, lines)
    else:
        send_live(options.servers, options.jars, options.stations, options.rate, options.seconds, options.log)


if __name__ == "__main__":
    main()

"""CPU, memory and lag of a pipeline whose components the test replaces."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from kafka.errors import KafkaTimeoutError

from benchmarks.pipeline import usage
from benchmarks.pipeline.usage import UsageMeter
from weatherglass.settings import Settings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The monotonic clock, seconds."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(usage.time, "monotonic", lambda: found.now)
    return found


@pytest.fixture
def lag(monkeypatch: pytest.MonkeyPatch) -> list[int | Exception]:
    """The lag at each sample."""
    values: list[int | Exception] = []

    def lags(_: Settings) -> dict[tuple[str, str], int | None]:
        value = values.pop(0)
        if isinstance(value, Exception):
            raise value
        return {("p-ray-ml-inference", "p-weather-features"): value}

    monkeypatch.setattr(usage, "lags", lags)
    return values


def meter(monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace) -> UsageMeter:
    """Of a pipeline with this process as the only one; each of its readings of topics takes ten seconds."""

    def topic_bytes(_: UsageMeter) -> dict[str, int]:
        clock.now += 10.0
        return {"weather-raw": int(100 * clock.now)}

    monkeypatch.setattr(UsageMeter, "_topic_bytes", topic_bytes)
    monkeypatch.setattr(UsageMeter, "_processes", lambda _: {"job": [psutil.Process(os.getpid())]})
    pipeline: Any = SimpleNamespace(settings=Settings(topic_prefix="p-"), folders={})
    return UsageMeter(pipeline, None)


def test_a_sample_without_a_response_of_the_broker_is_left_out(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace, lag: list[int | Exception]
) -> None:
    lag += [3, 9, KafkaTimeoutError(), 5, KafkaTimeoutError()]
    measured = meter(monkeypatch, clock)
    for _ in range(3):
        clock.now += 2.0
        measured.sample()
    found = measured.finish()
    assert found.lag == {"ray-ml-inference": 9}
    assert found.final_lag == {"ray-ml-inference": 5}


def test_cpu_and_bytes_are_divided_by_the_time_between_their_own_readings(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace, lag: list[int | Exception]
) -> None:
    """The broker takes long to describe the topics, which is not a part of the time between the CPU readings."""
    lag += [0, 0]
    monkeypatch.setattr(usage, "cpu_seconds", lambda _: 0.5 * clock.now)
    measured = meter(monkeypatch, clock)
    clock.now += 40.0
    found = measured.finish()
    assert found.cores == {"job": 0.5}
    assert found.topic_bytes == {"weather-raw": 100.0}


def test_an_ended_process_is_left_out() -> None:
    with psutil.Popen(["true"]) as ended:
        ended.wait()
    assert [process.pid for process in usage._running([ended.pid, os.getpid()])] == [os.getpid()]

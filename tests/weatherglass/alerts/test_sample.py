"""The exposition of a sample, read by an independent parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.weatherglass.alerts.cases import NOON
from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import Histogram, MetricSample, exposition

HOSTILE = 'a "quoted" \\ name\nwith a line break'


def parsed(sample: MetricSample) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Values by name and labels."""
    return {
        (line.name, tuple(sorted(line.labels.items()))): line.value
        for family in text_string_to_metric_families(exposition(sample))
        for line in family.samples
    }


def test_gauges_and_counters_are_exported_with_their_labels() -> None:
    sample = MetricSample(NOON)
    sample.put(m.KAFKA_UP, True)
    sample.put(m.STATION_SILENCE, 1.25, HOSTILE)
    sample.put(m.TOPIC_RECORDS, 40, "weather-raw")
    assert parsed(sample) == {
        ("weatherglass_kafka_up", ()): 1.0,
        ("weatherglass_station_silence_ratio", (("station", HOSTILE),)): 1.25,
        ("weatherglass_topic_records_total", (("topic", "weather-raw"),)): 40.0,
    }


def test_every_metric_is_exported_with_its_type_and_help() -> None:
    sample = MetricSample(NOON)
    for metric in m.METRICS:
        if metric.buckets:
            histogram = Histogram(metric)
            histogram.observe(1.0, *metric.labels)
            histogram.write_to(sample)
        else:
            sample.put(metric, 1, *metric.labels)
    families = {family.name: family for family in text_string_to_metric_families(exposition(sample))}
    for metric in m.METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind.value, metric.help)


def test_histogram_buckets_are_cumulative() -> None:
    histogram = Histogram(m.OBSERVATION_TO_PREDICTION)
    for seconds in (60.0, 61.0, 400.0, 1e6):
        histogram.observe(seconds, "denver")
    sample = MetricSample(NOON)
    histogram.write_to(sample)
    values = parsed(sample)
    name, station = m.OBSERVATION_TO_PREDICTION.name, ("station", "denver")
    cumulative = {
        float(dict(labels)["le"]): value for (line, labels), value in values.items() if line == f"{name}_bucket"
    }
    assert cumulative == {60: 1, 300: 2, 900: 3, 1800: 3, 3600: 3, 7200: 3, float("inf"): 4}
    assert values[f"{name}_count", (station,)] == 4
    assert values[f"{name}_sum", (station,)] == 60 + 61 + 400 + 1e6


def test_an_empty_sample_has_an_empty_exposition() -> None:
    assert exposition(MetricSample(NOON)) == ""


def test_a_value_with_missing_labels_is_rejected() -> None:
    with pytest.raises(ValueError, match=m.STATION_SILENCE.name):
        MetricSample(NOON).put(m.STATION_SILENCE, 1.0)


def test_a_subset_does_not_change_when_the_histogram_counts_on() -> None:
    histogram = Histogram(m.PUBLISHING_TO_PREDICTION)
    sample = MetricSample(NOON)
    histogram.observe(0.4, "denver")
    histogram.write_to(sample)
    sample.put(m.KAFKA_UP, 1)
    subset = sample.subset({m.PUBLISHING_TO_PREDICTION.name})
    histogram.observe(0.4, "denver")
    assert sum(subset.histograms(m.PUBLISHING_TO_PREDICTION)["denver",].counts) == 1
    assert subset.series(m.KAFKA_UP) == {}

"""Window features of stations: one function for the stream and for batch."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from weatherglass.history.hours import SLIDE, WATERMARK, WINDOW
from weatherglass.qc.observation_checks import CHECKS, LIMITS, Rules

AHEAD = timedelta(days=1000)
"""How far the column with the watermark runs ahead of the observations' time. Spark drops what is older than the
watermark before our code sees it, though its later windows may be open still; no observation is that old."""

LATE = "late"
"""Name of the observed figure of a stream: observations that no window took."""

FAILED = "failed_values"
"""Name of the observed figures of a stream: observations that failed each check of quality control."""


def window_features(observations: DataFrame, rules: Rules, closed: int = 0, counted: Column | None = None) -> DataFrame:
    """Features of every window that holds an observation: 5 minutes wide, every minute, `[start, end)`, event time.

    Args:
        observations: columns `station_id`, `timestamp` (UTC), `arrived` (when the message came, UTC) and `offset`
            (bigint; of several rows with the same station and time the one that came last, by both, is the true one),
            the five variables (double, units of the contract, null is missing) and `source` (string, null where
            unknown). Stream or batch.
        rules: what quality control knows of the stations.
        closed: milliseconds since 1970. A stream treats windows that end at or before it as closed.
        counted: which observations a stream counts in the observed figures `FAILED`, of their columns (boolean); None
            is all. Others were counted before, and are read once more only for their windows.

    Returns:
        `station_id`, `window_end` (timestamp), `value` (binary: the JSON of `records.WindowFeatures`, every field
        there, a missing number as null) and `source`, that of the window's last observation. A stream gives the
        windows that changed; an observation of which every window ended by the watermark, 10 minutes behind the
        newest, is in none, and counted in the observed figure `LATE`.

    An observation that comes again counts once, and a revised one replaces the old: the readings of each minute are
    kept until all its windows are closed. The windows are put together and written down on the JVM (`spark_jobs/jvm`),
    by the same code for streams and batches: as columns of Spark, a hundred of them, each small batch would spend more
    time on planning and compiling them than on its observations.

    Statistics of a variable are over its values that passed quality control (`weatherglass.qc.observation_checks`):
    `std` is the sample's, null below two values; `rate_per_hour` the least-squares slope over time, null below two
    values; `last` the newest. `trend` is null where the rate is, and otherwise *rising* or *falling* by the sign of
    the rate if both hold, else *steady*:

    - the fitted change between the first and the last value exceeds the instrument's resolution;
    - with three values or more, the rate exceeds twice its own standard error.

    `wind` is the mean of the vectors (a calm counts as a zero vector, whatever its direction), `steadiness` its
    speed over the mean speed (WMO-No. 8, volume I, chapter 5), null if no air moved. `dew_point`,
    `sea_level_pressure` and `apparent_temperature` are those of the window's means (`weatherglass.meteorology`), null
    where a part is missing or outside the formula's range. `checks` is *failed* for a check that any observation of
    the window failed, else *ok* if any passed it, else *not_checked*; `quality` of a variable is `failed` if any of
    its values was kept out, `ok` if all are in, `not_checked` if there was none.
    """
    values = [F.col(name) for name in LIMITS]
    time = F.unix_micros("timestamp")
    prepared = observations.select(
        "station_id",
        time.alias("time"),
        F.unix_micros("arrived").alias("arrived"),
        "offset",
        *values,
        jvm.qc_flags(F.col("station_id"), time, values, rules).alias("qc_flags"),
        "source",
        (F.col("timestamp") + F.lit(AHEAD)).alias("ahead"),
        (F.lit(True) if counted is None else counted).alias("counted"),
    )
    panes, slide = WINDOW // SLIDE, SLIDE // timedelta(microseconds=1)
    if observations.isStreaming:
        failed = (F.count_if(F.col("counted") & _bit(_failed(check))).alias(check) for check in CHECKS)
        prepared = prepared.observe(FAILED, *failed).drop("counted")
        prepared = prepared.withWatermark("ahead", f"{(WATERMARK + AHEAD) // timedelta(seconds=1)} seconds")
    windows = jvm.windows(prepared, slide, panes, closed * 1000, rules)
    if observations.isStreaming:
        windows = windows.observe(LATE, F.sum("late").alias(LATE)).where("end is not null")
    return windows.select("station_id", F.timestamp_micros("end").alias("window_end"), "value", "source")


def _bit(number: int) -> Column:
    return F.col("qc_flags").bitwiseAND(F.lit(1 << number)) != 0


def _failed(check: str) -> int:
    """The bit that `QualityControl.java` sets where an observation failed a check."""
    return 9 + 2 * CHECKS.index(check)

"""Window features of stations: the definition, and the function for batches."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.qc.observation_checks import QcParameters


def window_features(observations: DataFrame, parameters: QcParameters) -> DataFrame:
    """Features of every window that contains an observation: 5 minutes wide, every minute, `[start, end)`, event time.

    Args:
        observations: columns `station_id`, `timestamp` (UTC), `arrived` (arrival of the message, UTC) and `offset`
            (bigint), the five variables (double, units of the record schema, null if missing) and `source` (string,
            null if unknown). Of several rows with the same station and timestamp, the one with the latest `arrived`,
            then the highest `offset`, counts. Not a stream: see `stream_records`.
        parameters: limits, elevations and climate for quality control.

    Returns:
        `station_id`, `window_end` (timestamp), `value` (binary: JSON of `records.WindowFeatures` with all fields, an
        unknown number is null) and `source`, that of the last observation of the window.

    A repeated observation counts once, and a revised one replaces the old one. The JVM computes and serializes the
    windows (`spark_jobs/jvm.py`), with the same code for streams and batches: as about a hundred Spark columns,
    planning and compiling them would take longer than processing the observations of a small batch.

    Statistics of a variable use its values that passed quality control (`weatherglass.qc.observation_checks`). A
    humidity within the tolerance above 100 % counts as 100 %. `std` is the sample standard deviation, null below two
    values; `rate_per_hour` is the least-squares slope over time, null below two values; `last` is the newest value;
    `count` is the number of values. `trend` is null if the rate is null; it is *rising* or *falling*, by the sign of
    the rate, if both conditions hold, otherwise *steady*:

    - the fitted change between the first and the last value exceeds the resolution of the instrument;
    - with three values or more, the rate exceeds twice its standard error.

    `wind` is the mean of the wind vectors (a calm is a zero vector, independent of its direction), `steadiness` its
    speed divided by the mean speed (WMO-No. 8, volume I, chapter 5), null if all winds are calm. `dew_point`,
    `sea_level_pressure` and `apparent_temperature` are computed from the means of the window
    (`weatherglass.meteorology`), null if an input is missing or outside the range of the formula. A check in `checks`
    is *failed* if any observation of the window failed it, else *ok* if any passed it, else *not_checked*. `quality` of
    a variable is `failed` if any value was excluded, `ok` if there are values and all are used, else `not_checked`.
    """
    rows = observations.select(
        "station_id",
        F.unix_micros("timestamp").alias("time"),
        F.unix_micros("arrived").alias("arrived"),
        "offset",
        *RANGE_LIMITS,
        "source",
    )
    windows = jvm.batch_windows(rows, parameters)
    return windows.select("station_id", F.timestamp_micros("end").alias("window_end"), "value", "source")

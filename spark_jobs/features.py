"""Window features of stations: one function for the stream and for batch."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from weatherglass import meteorology as met
from weatherglass.history import SLIDE, WATERMARK, WINDOW
from weatherglass.quality import CHECKS, LIMITS, Rules
from weatherglass.records import VARIABLES, Quality, Trend

CALM = 1e-6
"""A mean wind below this, m/s, is what rounding leaves of winds that cancel: it has no direction."""

ERRORS_OF_A_TREND = 2.0
"""How many of its own standard errors a slope must exceed to be a trend."""

SLACK = 1 + 1e-6
"""The rules of the trend compare with this much room, so that rounding in the last digit decides nothing."""


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
        The columns of `records.WindowFeatures`, and `source`, that of the window's last observation. A stream gives
        the windows that changed; an observation of which every window ended by the watermark, 10 minutes behind the
        newest, is in none, and counted in the observed figure `LATE`.

    An observation that comes again counts once, and a revised one replaces the old: the readings of each minute are
    kept until all its windows are closed. The windows are put together on the JVM (`spark_jobs/jvm`), by the same
    code for streams and batches; here is what is made of their sums.

    Statistics of a variable are over its values that passed quality control (`weatherglass.quality`):
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
        jvm.verdicts(F.col("station_id"), time, values, rules).alias("verdicts"),
        "source",
        (F.col("timestamp") + F.lit(AHEAD)).alias("ahead"),
        (F.lit(True) if counted is None else counted).alias("counted"),
    )
    panes, slide = WINDOW // SLIDE, SLIDE // timedelta(microseconds=1)
    if observations.isStreaming:
        failed = (F.count_if(F.col("counted") & _bit(_failed(check))).alias(check) for check in CHECKS)
        prepared = prepared.observe(FAILED, *failed).drop("counted")
        prepared = prepared.withWatermark("ahead", f"{(WATERMARK + AHEAD) // timedelta(seconds=1)} seconds")
    windows = jvm.windows(prepared, slide, panes, closed * 1000)
    if observations.isStreaming:
        late = F.sum(F.when(F.col("end").isNull(), F.col("count")).otherwise(0))
        windows = windows.observe(LATE, late.alias(LATE)).where("end is not null")
    means = {name: F.col(f"{name}.mean") for name in VARIABLES}
    end = F.timestamp_micros("end")
    return windows.select(
        "station_id",
        (end - F.lit(WINDOW)).alias("window_start"),
        end.alias("window_end"),
        F.struct(
            "count",
            F.timestamp_micros("last").alias("last_observation"),
            *(_statistics(name).alias(name) for name in VARIABLES),
            _wind(F.col("wind")).alias("wind"),
            _dew_point(means["temperature"], means["humidity"]).alias("dew_point"),
            _sea_level_pressure(means, rules).alias("sea_level_pressure"),
            _apparent_temperature(means).alias("apparent_temperature"),
            F.struct(*(_quality(i, name).alias(name) for i, name in enumerate(LIMITS))).alias("quality"),
            F.struct(*(_check(name).alias(name) for name in CHECKS)).alias("checks"),
        ).alias("aggregated_features"),
        "source",
    )


def _statistics(variable: str) -> Column:
    sums = F.col(variable)
    n, slope = sums["n"], F.when(sums["n"] > 1, sums["xy"] / sums["xx"])
    unexplained = F.greatest(sums["yy"] - slope * slope * sums["xx"], F.lit(0.0))
    error = F.sqrt(F.when(n > 2, unexplained / (n - 2) / sums["xx"]))
    small = F.abs(slope) * sums["span"] <= LIMITS[variable].resolution * SLACK
    unsure = F.coalesce(F.abs(slope) <= ERRORS_OF_A_TREND * SLACK * error, F.lit(False))
    return F.struct(
        sums["mean"].alias("mean"),
        F.when(n > 1, F.sqrt(sums["yy"] / (n - 1))).alias("std"),
        sums["min"].alias("min"),
        sums["max"].alias("max"),
        sums["last"].alias("last"),
        (slope * 3600).alias("rate_per_hour"),
        F.when(small | unsure, F.lit(Trend.STEADY.value))
        .when(slope > 0, F.lit(Trend.RISING.value))
        .when(slope < 0, F.lit(Trend.FALLING.value))
        .alias("trend"),
    )


def _wind(sums: Column) -> Column:
    u, v = sums["u"] / sums["n"], sums["v"] / sums["n"]
    speed = F.hypot(u, v)
    return F.struct(
        u.alias("u"),
        v.alias("v"),
        F.when(speed > CALM, F.pmod(F.degrees(F.atan2(-u, -v)), F.lit(360.0))).alias("direction"),
        F.when(sums["speed"] > 0, F.least(speed * sums["n"] / sums["speed"], F.lit(1.0))).alias("steadiness"),
    )


def _dew_point(temperature: Column, humidity: Column) -> Column:
    """As `meteorology.dew_point`."""
    gamma = F.log(F.when(humidity > 0, humidity) / 100) + met.MAGNUS_A * temperature / (met.MAGNUS_B + temperature)
    return met.MAGNUS_B * gamma / (met.MAGNUS_A - gamma)


def _sea_level_pressure(means: dict[str, Column], rules: Rules) -> Column:
    """As `meteorology.sea_level_pressure`; null where the pressure contradicts the elevation, or that is unknown."""
    elevations = {name: m for name, m in rules.elevations.items() if met.LOWEST <= m <= met.HIGHEST}
    pairs = [F.lit(part) for pair in elevations.items() for part in pair]
    known = F.create_map(*pairs) if pairs else F.lit(None).cast("map<string,double>")
    elevation = F.when(_check("pressure_elevation") == Quality.OK.value, known[F.col("station_id")])
    vapour = (
        met.MAGNUS_E
        * F.exp(met.MAGNUS_A * means["temperature"] / (met.MAGNUS_B + means["temperature"]))
        * means["humidity"]
        / 100
    )
    column = means["temperature"] + met.ZERO + met.LAPSE_RATE * elevation / 2 + met.VAPOUR_CORRECTION * vapour
    return means["pressure"] * F.pow(F.lit(10.0), met.REDUCTION * elevation / column)


def _apparent_temperature(means: dict[str, Column]) -> Column:
    """As `meteorology.apparent_temperature`."""
    a, b, e = met.STEADMAN_VAPOUR
    vapour = means["humidity"] / 100 * e * F.exp(a * means["temperature"] / (b + means["temperature"]))
    warmth, wind, constant = met.STEADMAN
    return means["temperature"] + warmth * vapour + wind * means["wind_speed"] + constant


def _bit(number: int) -> Column:
    return F.col("verdicts").bitwiseAND(F.lit(1 << number)) != 0


def _quality(number: int, variable: str) -> Column:
    there = _bit(5) if variable == "wind_direction" else F.col(variable).isNotNull()
    return (
        F.when(_bit(number), F.lit(Quality.FAILED.value))
        .when(there, F.lit(Quality.OK.value))
        .otherwise(F.lit(Quality.NOT_CHECKED.value))
    )


def _failed(check: str) -> int:
    """The bit that `QualityControl.java` sets where an observation failed a check; the one below is that of *ok*."""
    return 9 + 2 * CHECKS.index(check)


def _check(name: str) -> Column:
    return (
        F.when(_bit(_failed(name)), F.lit(Quality.FAILED.value))
        .when(_bit(_failed(name) - 1), F.lit(Quality.OK.value))
        .otherwise(F.lit(Quality.NOT_CHECKED.value))
    )

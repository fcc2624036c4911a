"""Window features of stations: one function for the stream and for batch."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from weatherglass.history import SLIDE, WATERMARK, WINDOW
from weatherglass.meteorology import MAGNUS_A, MAGNUS_B
from weatherglass.quality import LIMITS
from weatherglass.records import VARIABLES, Quality, Trend

CALM = 1e-6
"""A mean wind below this, m/s, is what rounding leaves of winds that cancel: it has no direction."""

ERRORS_OF_A_TREND = 2.0
"""How many of its own standard errors a slope must exceed to be a trend."""

SLACK = 1 + 1e-6
"""The rules of the trend compare with this much room, so that rounding in the last digit decides nothing."""


def window_features(observations: DataFrame) -> DataFrame:
    """Features of every window that holds an observation: 5 minutes wide, every minute, `[start, end)`, event time.

    Args:
        observations: columns `station_id`, `timestamp` (UTC), `offset` (bigint; of several rows with the same
            station and time the one with the highest is the true one), the five variables (double, units of the
            contract, null is missing) and `source` (string, null where unknown). Stream or batch.

    Returns:
        The columns of `records.WindowFeatures`, and `source`, that of the window's last observation. On a stream
        rows that come more than 10 minutes after the newest are dropped from the windows that ended by then.

    An observation that comes again counts once, and a revised one replaces the old: the rows of a window are
    gathered, sorted by time and offset, and only the last of each time is kept. That is one aggregation (a stream
    refuses two in update mode), so it holds after a restart and for a revision hours of batches later.

    Statistics of a variable are over its values inside the physical range (`weatherglass.quality`):
    `std` is the sample's, null below two values; `rate_per_hour` the least-squares slope over time, null below two
    values; `last` the newest. `trend` is null where the rate is, and otherwise *rising* or *falling* by the sign of
    the rate if both hold, else *steady*:

    - the fitted change between the first and the last value exceeds the instrument's resolution;
    - with three values or more, the rate exceeds twice its own standard error.

    `wind` is the mean of the vectors (a calm counts as a zero vector, whatever its direction), `steadiness` its
    speed over the mean speed (WMO-No. 8, volume I, chapter 5), null if no air moved. `dew_point` is that of the mean
    temperature and humidity (`weatherglass.meteorology`), null at 0 %. `quality` of a variable is `failed` if any of
    its values lay outside the range, `ok` if all lay inside, `not_checked` if there was none.
    """
    gathered = (
        observations.withWatermark("timestamp", _interval(WATERMARK))
        .groupBy("station_id", F.window("timestamp", _interval(WINDOW), _interval(SLIDE)))
        .agg(F.sort_array(F.collect_list(F.struct("timestamp", "offset", *LIMITS, "source"))).alias("rows"))
    )
    distinct = gathered.withColumn("rows", _last_of_each_time(F.col("rows")))
    summed = distinct.select(
        "station_id",
        "window",
        "rows",
        *(_sums(F.col("rows"), variable).alias(variable) for variable in LIMITS),
        _wind_sums(F.col("rows")).alias("wind"),
    )
    moments = summed.select("*", *(_moments(F.col(variable)).alias(f"{variable}_moments") for variable in VARIABLES))
    newest = F.element_at("rows", -1)
    statistics = {variable: _statistics(variable) for variable in VARIABLES}
    return moments.select(
        "station_id",
        F.col("window.start").alias("window_start"),
        F.col("window.end").alias("window_end"),
        F.struct(
            F.size("rows").alias("count"),
            newest["timestamp"].alias("last_observation"),
            *(column.alias(variable) for variable, column in statistics.items()),
            _wind(F.col("wind")).alias("wind"),
            _dew_point(_mean("temperature"), _mean("humidity")).alias("dew_point"),
            F.struct(*(_quality(F.col(variable)).alias(variable) for variable in LIMITS)).alias("quality"),
        ).alias("aggregated_features"),
        newest["source"].alias("source"),
    )


def _interval(duration: object) -> str:
    return f"{int(duration.total_seconds())} seconds"  # type: ignore[attr-defined]


def _last_of_each_time(rows: Column) -> Column:
    """Of rows sorted by time and offset, those whose successor has another time."""
    return F.filter(rows, lambda row, i: ~row["timestamp"].eqNullSafe(F.get(rows, i + 1)["timestamp"]))


def _within(value: Column, variable: str) -> Column:
    """Whether a value is there and physically possible; never null."""
    limits = LIMITS[variable]
    return F.coalesce(value.between(limits.low, limits.high), F.lit(False))


def _sums(rows: Column, variable: str) -> Column:
    """One pass over the rows: what the statistics of a variable are made of.

    Values and times are taken relative to the first, so that nothing is lost to cancellation and constant values
    have no spread at all. Times are whole microseconds, sums of them in seconds.
    """
    null, zero = F.lit(None).cast("double"), F.lit(0.0)
    start = F.struct(
        F.lit(0).alias("n"),
        F.lit(0).alias("failed"),
        null.alias("first"),
        null.alias("last"),
        null.alias("min"),
        null.alias("max"),
        F.lit(None).cast("bigint").alias("since"),
        zero.alias("span"),
        *(zero.alias(name) for name in ("x", "y", "xx", "xy", "yy")),
    )

    def add(sums: Column, row: Column) -> Column:
        value = row[variable]
        first = F.coalesce(sums["first"], value)
        since = F.coalesce(sums["since"], F.unix_micros(row["timestamp"]))
        x = (F.unix_micros(row["timestamp"]) - since) / 1e6
        y = value - first
        added = F.struct(
            (sums["n"] + 1).alias("n"),
            sums["failed"].alias("failed"),
            first.alias("first"),
            value.alias("last"),
            F.least(sums["min"], value).alias("min"),
            F.greatest(sums["max"], value).alias("max"),
            since.alias("since"),
            x.alias("span"),
            (sums["x"] + x).alias("x"),
            (sums["y"] + y).alias("y"),
            (sums["xx"] + x * x).alias("xx"),
            (sums["xy"] + x * y).alias("xy"),
            (sums["yy"] + y * y).alias("yy"),
        )
        failed = sums.withField("failed", sums["failed"] + 1)
        return F.when(_within(value, variable), added).when(value.isNotNull(), failed).otherwise(sums)

    return F.aggregate(rows, start, add)


def _moments(sums: Column) -> Column:
    """Mean, sums of squares about the means, and the slope per second, of the sums of a variable."""
    n = sums["n"]
    xx = sums["xx"] - sums["x"] * sums["x"] / n
    xy = sums["xy"] - sums["x"] * sums["y"] / n
    yy = sums["yy"] - sums["y"] * sums["y"] / n
    return F.when(
        n > 0,
        F.struct(
            (sums["first"] + sums["y"] / n).alias("mean"),
            xx.alias("xx"),
            F.greatest(yy, F.lit(0.0)).alias("yy"),
            F.when(n > 1, xy / xx).alias("slope"),
        ),
    )


def _mean(variable: str) -> Column:
    return F.col(f"{variable}_moments.mean")


def _statistics(variable: str) -> Column:
    sums, moments = F.col(variable), F.col(f"{variable}_moments")
    n, slope = sums["n"], moments["slope"]
    unexplained = F.greatest(moments["yy"] - slope * slope * moments["xx"], F.lit(0.0))
    error = F.sqrt(F.when(n > 2, unexplained / (n - 2) / moments["xx"]))
    small = F.abs(slope) * sums["span"] <= LIMITS[variable].resolution * SLACK
    unsure = F.coalesce(F.abs(slope) <= ERRORS_OF_A_TREND * SLACK * error, F.lit(False))
    return F.struct(
        moments["mean"].alias("mean"),
        F.when(n > 1, F.sqrt(moments["yy"] / (n - 1))).alias("std"),
        sums["min"].alias("min"),
        sums["max"].alias("max"),
        sums["last"].alias("last"),
        (slope * 3600).alias("rate_per_hour"),
        F.when(small | unsure, F.lit(Trend.STEADY.value))
        .when(slope > 0, F.lit(Trend.RISING.value))
        .when(slope < 0, F.lit(Trend.FALLING.value))
        .alias("trend"),
    )


def _wind_sums(rows: Column) -> Column:
    zero = F.lit(0.0)
    start = F.struct(F.lit(0).alias("n"), *(zero.alias(name) for name in ("u", "v", "speed")))

    def add(sums: Column, row: Column) -> Column:
        speed = row["wind_speed"]
        angle = F.radians(F.when(speed == 0, zero).otherwise(row["wind_direction"]))
        added = F.struct(
            (sums["n"] + 1).alias("n"),
            (sums["u"] - speed * F.sin(angle)).alias("u"),
            (sums["v"] - speed * F.cos(angle)).alias("v"),
            (sums["speed"] + speed).alias("speed"),
        )
        blows = _within(row["wind_direction"], "wind_direction") | (speed == 0)
        return F.when(_within(speed, "wind_speed") & blows, added).otherwise(sums)

    return F.aggregate(rows, start, add)


def _wind(sums: Column) -> Column:
    n = F.when(sums["n"] > 0, sums["n"])
    u, v = sums["u"] / n, sums["v"] / n
    speed = F.hypot(u, v)
    return F.struct(
        u.alias("u"),
        v.alias("v"),
        F.when(speed > CALM, F.pmod(F.degrees(F.atan2(-u, -v)), F.lit(360.0))).alias("direction"),
        F.when(sums["speed"] > 0, F.least(speed * n / sums["speed"], F.lit(1.0))).alias("steadiness"),
    )


def _dew_point(temperature: Column, humidity: Column) -> Column:
    gamma = F.log(F.when(humidity > 0, humidity) / 100) + MAGNUS_A * temperature / (MAGNUS_B + temperature)
    return MAGNUS_B * gamma / (MAGNUS_A - gamma)


def _quality(sums: Column) -> Column:
    return (
        F.when(sums["failed"] > 0, F.lit(Quality.FAILED.value))
        .when(sums["n"] > 0, F.lit(Quality.OK.value))
        .otherwise(F.lit(Quality.NOT_CHECKED.value))
    )

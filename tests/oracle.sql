-- Window features from the rows of `raw`, written from the contract and not from the job: the oracle of the tests.
-- raw: station_id, ts (UTC), position (of several rows of one station and time the highest is true), five variables.
-- stations: station_id, elevation. climate: station_id, month, variable, low, high. Both may be empty.
-- One row a window and variable; `tests/oracle.py` folds them.
with latest as (
    select * from raw qualify row_number() over (partition by station_id, ts order by position desc) = 1
),
damp as (
    select latest.*, elevation,
        temperature between -80 and 60 and humidity > 0 as has_dew_point,
        ln(humidity / 100) + 17.62 * temperature / (243.12 + temperature) as gamma,
        abs(pressure - 1013.25 * (1 - 0.0065 * elevation / 288.15) ** 5.25588) <= 80 as fits_station
    from latest left join stations using (station_id)
),
judged as (
    select damp.*,
        has_dew_point and humidity <= 100 and 243.12 * gamma / (17.62 - gamma) > 36 as too_damp,
        pressure between 500 and 1100 and elevation is not null as has_height,
        has_height and not fits_station and abs(pressure - 1013.25) > 80 as fits_nothing
    from damp
),
windowed as (
    select judged.*, date_trunc('minute', ts) + to_minutes(ahead.range) as window_end
    from judged cross join range(1, 6) as ahead
),
long as (
    select station_id, window_end, ts, variable, value, coalesce(too_damp, false) as too_damp,
        coalesce(fits_nothing, false) as fits_nothing,
        (epoch_us(ts) - epoch_us(window_end)) / 3.6e9 as x
    from windowed unpivot include nulls (
        value for variable in (temperature, humidity, pressure, wind_speed, wind_direction)
    )
),
tall as (
    select long.*,
        value between case long.variable
            when 'temperature' then -80 when 'humidity' then 0 when 'pressure' then 500
            when 'wind_speed' then 0 when 'wind_direction' then 0 end
        and case long.variable
            when 'temperature' then 60 when 'humidity' then 100 when 'pressure' then 1100
            when 'wind_speed' then 75 when 'wind_direction' then 360 end as possible,
        value between low and high as usual,
        possible and coalesce(usual, true) and not (long.variable in ('temperature', 'humidity') and too_damp)
            and not (long.variable = 'pressure' and fits_nothing) as good
    from long left join climate on climate.station_id = long.station_id and climate.variable = long.variable
        and climate.month = month(ts)
),
lines as (
    select station_id, window_end, variable,
        count(distinct ts) as observations, max(ts) as last_observation,
        count(*) filter (where good) as n, count(*) filter (where not good) as failed,
        avg(value) filter (where good) as mean, stddev_samp(value) filter (where good) as std,
        min(value) filter (where good) as min, max(value) filter (where good) as max,
        arg_max(value, ts) filter (where good) as last,
        (max(x) filter (where good)) - (min(x) filter (where good)) as span,
        avg(x) filter (where good) as mean_x,
        case when n > 1 then regr_slope(value, x) filter (where good) end as slope
    from tall group by all
),
scatter as (
    select tall.station_id, tall.window_end, tall.variable,
        sum((value - mean - slope * (x - mean_x)) ** 2) as unexplained, sum((x - mean_x) ** 2) as spread
    from tall join lines using (station_id, window_end, variable)
    where good group by all
),
usable as (
    select station_id, window_end, ts, any_value(value) filter (where variable = 'wind_speed' and good) as speed,
        any_value(value) filter (where variable = 'wind_direction' and good) as direction
    from tall group by all
),
winds as (
    select station_id, window_end,
        avg(-speed * sin(radians(angle))) as u, avg(-speed * cos(radians(angle))) as v, avg(speed) as speed,
        count(*) as pairs
    from (select *, case when speed = 0 then 0 else direction end as angle from usable)
    where speed is not null and angle is not null
    group by all
),
of_values as (
    select station_id, window_end, bool_or(not possible) as range_failed, bool_or(possible) as range_ok,
        bool_or(not usual) as climate_failed, bool_or(usual) as climate_ok
    from tall group by all
),
of_rows as (
    select station_id, window_end,
        bool_or(has_dew_point and (too_damp or humidity > 100)) as dew_point_failed,
        bool_or(has_dew_point and not too_damp and humidity <= 100) as dew_point_ok,
        bool_or(wind_speed = 0 and wind_direction <> 0) as wind_failed,
        bool_or(wind_speed + wind_direction is not null and not (wind_speed = 0 and wind_direction <> 0)) as wind_ok,
        bool_or(has_height and not fits_station) as pressure_elevation_failed,
        bool_or(has_height and fits_station) as pressure_elevation_ok,
        any_value(elevation) as elevation
    from windowed group by all
)
select lines.*, sqrt(case when n > 2 then unexplained / (n - 2) / spread end) as slope_error,
    winds.u, winds.v, winds.speed, coalesce(winds.pairs, 0) as winds,
    of_values.* exclude (station_id, window_end), of_rows.* exclude (station_id, window_end)
from lines left join scatter using (station_id, window_end, variable) left join winds using (station_id, window_end)
    join of_values using (station_id, window_end) join of_rows using (station_id, window_end)

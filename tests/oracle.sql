-- Oracle of the tests: window features from the rows of `raw`, written from the documentation, independent of the job.
-- raw: station_id, ts (UTC), position (of rows with the same station and time the highest counts), five variables.
-- stations: station_id, elevation, latitude. climate: station_id, month, variable, low, high. Both may be empty.
-- Returns one row per window and variable; `tests/oracle.py` combines them.
with latest as (
    select * replace (case when humidity > 100 and humidity <= 105 then 100 else humidity end as humidity)
    from raw qualify row_number() over (partition by station_id, ts order by position desc) = 1
),
located as (
    select latest.*, elevation, 1013.25 * (1 - 0.0065 * elevation / 288.15) ** 5.25588 as standard,
        coalesce(greatest(-95, 5 - 90 * sin(radians(abs(latitude))) - 0.0065 * elevation), -95) as coldest,
        case when elevation is null then 300 else greatest(300, 0.855 * standard) end as lowest_pressure,
        case when elevation is null then 1100 else least(1100, greatest(standard, 1013.25) + 80) end as highest_pressure
    from latest left join stations using (station_id)
),
dew_points as (
    select located.*, temperature between coldest and 60 and humidity > 0 as has_dew_point,
        ln(humidity / 100) + 17.62 * temperature / (243.12 + temperature) as gamma,
        pressure between 0.855 * standard and standard + 80 as fits_elevation
    from located
),
checked as (
    select dew_points.*,
        has_dew_point and humidity <= 100 and 243.12 * gamma / (17.62 - gamma) > 36 as dew_point_too_high,
        pressure between lowest_pressure and highest_pressure and elevation is not null as has_elevation,
        has_elevation and not fits_elevation and not pressure between 0.855 * 1013.25 and 1093.25 as fits_neither
    from dew_points
),
windowed as (
    select checked.*, date_trunc('minute', ts) + to_minutes(slide.range) as window_end
    from checked cross join range(1, 6) as slide
),
long as (
    select station_id, window_end, ts, variable, value, coalesce(dew_point_too_high, false) as dew_point_too_high,
        coalesce(fits_neither, false) as fits_neither, coldest, lowest_pressure, highest_pressure,
        (epoch_us(ts) - epoch_us(window_end)) / 3.6e9 as x
    from windowed unpivot include nulls (
        value for variable in (temperature, humidity, pressure, wind_speed, wind_direction)
    )
),
flagged as (
    select long.*,
        value between case long.variable
            when 'temperature' then coldest when 'humidity' then 0 when 'pressure' then lowest_pressure
            when 'wind_speed' then 0 when 'wind_direction' then 0 end
        and case long.variable
            when 'temperature' then 60 when 'humidity' then 100 when 'pressure' then highest_pressure
            when 'wind_speed' then 75 when 'wind_direction' then 360 end as possible,
        value between low and high as in_climate,
        possible and coalesce(in_climate, true) and not (long.variable in ('temperature', 'humidity') and dew_point_too_high)
            and not (long.variable = 'pressure' and fits_neither) as used
    from long left join climate on climate.station_id = long.station_id and climate.variable = long.variable
        and climate.month = month(ts)
),
statistics as (
    select station_id, window_end, variable,
        count(distinct ts) as observations, max(ts) as last_observation,
        count(*) filter (where used) as n, count(*) filter (where not used) as failed,
        avg(value) filter (where used) as mean, stddev_samp(value) filter (where used) as std,
        min(value) filter (where used) as min, max(value) filter (where used) as max,
        arg_max(value, ts) filter (where used) as last,
        (max(x) filter (where used)) - (min(x) filter (where used)) as span,
        avg(x) filter (where used) as mean_x,
        case when n > 1 then regr_slope(value, x) filter (where used) end as slope
    from flagged group by all
),
residuals as (
    select flagged.station_id, flagged.window_end, flagged.variable,
        sum((value - mean - slope * (x - mean_x)) ** 2) as unexplained, sum((x - mean_x) ** 2) as spread
    from flagged join statistics using (station_id, window_end, variable)
    where used group by all
),
usable as (
    select station_id, window_end, ts, any_value(value) filter (where variable = 'wind_speed' and used) as speed,
        any_value(value) filter (where variable = 'wind_direction' and used) as direction
    from flagged group by all
),
winds as (
    select station_id, window_end,
        avg(-speed * sin(radians(angle))) as u, avg(-speed * cos(radians(angle))) as v, avg(speed) as speed,
        count(*) as pairs
    from (select *, case when speed = 0 then 0 else direction end as angle from usable)
    where speed is not null and angle is not null
    group by all
),
value_checks as (
    select station_id, window_end, bool_or(not possible) as range_failed, bool_or(possible) as range_ok,
        bool_or(not in_climate) as climate_failed, bool_or(in_climate) as climate_ok
    from flagged group by all
),
row_checks as (
    select station_id, window_end,
        bool_or(has_dew_point and (dew_point_too_high or humidity > 100)) as dew_point_failed,
        bool_or(has_dew_point and not dew_point_too_high and humidity <= 100) as dew_point_ok,
        bool_or(has_elevation and not fits_elevation) as pressure_elevation_failed,
        bool_or(has_elevation and fits_elevation) as pressure_elevation_ok,
        any_value(elevation) as elevation
    from windowed group by all
)
select statistics.*, sqrt(case when n > 2 then unexplained / (n - 2) / spread end) as slope_error,
    winds.u, winds.v, winds.speed, coalesce(winds.pairs, 0) as winds,
    value_checks.* exclude (station_id, window_end), row_checks.* exclude (station_id, window_end)
from statistics left join residuals using (station_id, window_end, variable) left join winds using (station_id, window_end)
    join value_checks using (station_id, window_end) join row_checks using (station_id, window_end)

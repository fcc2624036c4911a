-- Window features from the rows of `raw`, written from the contract and not from the job: the oracle of the tests.
-- raw: station_id, ts (UTC), position (of several rows of one station and time the highest is true), five variables.
-- One row a window and variable; `tests/oracle.py` folds them.
with latest as (
    select * from raw qualify row_number() over (partition by station_id, ts order by position desc) = 1
),
windowed as (
    select latest.*, date_trunc('minute', ts) + to_minutes(ahead.range) as window_end
    from latest cross join range(1, 6) as ahead
),
tall as (
    select station_id, window_end, ts, variable, value,
        (epoch_us(ts) - epoch_us(window_end)) / 3.6e9 as x,
        value between case variable
            when 'temperature' then -80 when 'humidity' then 0 when 'pressure' then 500
            when 'wind_speed' then 0 when 'wind_direction' then 0 end
        and case variable
            when 'temperature' then 60 when 'humidity' then 100 when 'pressure' then 1100
            when 'wind_speed' then 75 when 'wind_direction' then 360 end as good
    from windowed unpivot include nulls (
        value for variable in (temperature, humidity, pressure, wind_speed, wind_direction)
    )
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
winds as (
    select station_id, window_end,
        avg(-wind_speed * sin(radians(angle))) as u, avg(-wind_speed * cos(radians(angle))) as v,
        avg(wind_speed) as speed
    from (select *, case when wind_speed = 0 then 0 else wind_direction end as angle from windowed)
    where wind_speed between 0 and 75 and angle between 0 and 360
    group by all
)
select lines.*, sqrt(case when n > 2 then unexplained / (n - 2) / spread end) as slope_error,
    winds.u, winds.v, winds.speed
from lines left join scatter using (station_id, window_end, variable) left join winds using (station_id, window_end)

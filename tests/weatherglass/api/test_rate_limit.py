"""The rate limit, compared with a direct simulation of a bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.api.rate_limit import RateLimit


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 12), st.floats(0, 5)), max_size=40))
def test_units_are_granted_as_a_bucket_of_this_size_and_rate_has_them(requests: list[tuple[str, int, float]]) -> None:
    time, level = Time(), {"a": 10.0, "b": 10.0}
    limit = RateLimit(10, 2.0, time)
    for key, units, pause in requests:
        time.now += pause
        level = {name: min(10.0, held + 2.0 * pause) for name, held in level.items()}
        if abs(level[key] - units) < 1e-6:
            continue  # decided by rounding
        wait = limit.take(key, units)
        assert (wait == 0) is (units < level[key])
        if wait:
            assert level[key] + 2.0 * wait >= units - 1e-6
        else:
            level[key] -= units


def test_after_the_stated_time_the_units_are_available() -> None:
    time = Time()
    limit = RateLimit(100, 0.5, time)
    assert limit.take("a", 100) == 0
    wait = limit.take("a", 10)
    assert wait == pytest.approx(20, abs=1)
    time.now += wait
    assert limit.take("a", 10) == 0
    assert limit.take("b", 100) == 0

from __future__ import annotations

import numpy as np

from weatherglass.evaluation import figures
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.records import LEADS


def test_a_past_that_is_cut_off_is_no_other_forecasts_truth_or_past() -> None:
    rng = np.random.default_rng(4)
    for step in (1, 7, 17, 29, 97, 200):
        base = 500 + step * np.arange(4000 // step)
        at = figures.apart(rng.permutation(base))
        assert len(at) > 3
        cut = [set(range(hour - PAST_HOURS, hour)) for hour in at.tolist()]
        used = [set(range(hour, hour + LEADS[-1] + 1)) for hour in at.tolist()]
        for i, hours in enumerate(cut):
            assert not any(hours & used[k] for k in range(len(at)) if k != i)
            assert not any(hours & cut[k] for k in range(len(at)) if k != i)

from __future__ import annotations

import numpy as np

from weatherglass.forecast.conformal import quantiles
from weatherglass.forecast.forecaster import LEVELS


def test_conformal_intervals_hold_their_share_of_exchangeable_errors() -> None:
    rng = np.random.default_rng(11)
    inside = []
    for _ in range(400):
        scores = np.abs(rng.standard_t(3, size=200))
        inside.append(np.abs(rng.standard_t(3, size=50))[:, None] <= quantiles(scores, np.ones(200)))
    share = np.concatenate(inside).mean(axis=0)
    # The quantile of 200 scores varies the coverage of a draw by about 0.03; over 400 draws by 0.0015.
    np.testing.assert_allclose(share, LEVELS, atol=0.01)
    assert (share >= np.array(LEVELS) - 0.006).all()


def test_intervals_follow_the_newest_errors() -> None:
    """Errors that have doubled lately are held better by quantiles in which the newest count most."""
    rng = np.random.default_rng(12)
    age = np.linspace(4, 0, 4000)
    scores = np.abs(rng.standard_normal(4000)) * np.where(age < 1, 2.0, 1.0)
    later = 2.0 * np.abs(rng.standard_normal(20_000))
    even, weighted = (later[:, None] <= quantiles(scores, w) for w in (np.ones(4000), 0.5 ** (age / 0.5)))
    assert (np.abs(weighted.mean(axis=0) - LEVELS) < 0.5 * np.abs(even.mean(axis=0) - LEVELS)).all()

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.evaluation import arma
from weatherglass.evaluation.arma import _predict
from weatherglass.records import LEADS


def test_predictions_of_an_autoregressive_series_decay_geometrically() -> None:
    rng = np.random.default_rng(1)
    series = np.zeros(2000)
    for hour in range(1, len(series)):
        series[hour] = 0.9 * series[hour - 1] + rng.normal()
    series = 3 * series
    predicted = _predict(series[:1500], series[1500:])
    assert predicted.shape == (500, len(LEADS))
    hours = np.arange(100, 500)
    for lead in (1, 6, 12):
        expected = 0.9**lead * series[1500 + hours]
        assert np.corrcoef(predicted[hours, lead - 1], expected)[0, 1] > 0.98
        slope = (predicted[hours, lead - 1] * expected).sum() / (expected**2).sum()
        assert slope == pytest.approx(1, abs=0.25)


def test_a_prediction_does_not_depend_on_later_values() -> None:
    series = np.random.default_rng(2).normal(size=700).cumsum() * 0.1
    later = series[500:].copy()
    later[120:] += 50
    one, two = _predict(series[:500], series[500:]), _predict(series[:500], later)
    np.testing.assert_allclose(one[:120], two[:120])
    assert not np.allclose(one[120], two[120])


def test_the_name_has_a_label_of_its_own_on_the_page() -> None:
    from weatherglass.evaluation.page import _label

    assert _label(arma.NAME) == "harmonic ARMA"

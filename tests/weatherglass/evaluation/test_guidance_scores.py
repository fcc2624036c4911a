"""Scores of corrected guidance against independent calculations, and on real pairs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.weatherglass.guidance.networks import network
from weatherglass.cli.main import main
from weatherglass.evaluation.guidance_scores import score_guidance
from weatherglass.guidance.correction import correct


def test_the_scores_are_those_of_the_days_of_the_test() -> None:
    series = network(days=80, seed=4)
    result = score_guidance(series, 50)
    observed, centre = series.observed[50:], correct(series).centre[50:]
    known = np.isfinite(observed)
    assert result.cases == known.sum()
    assert result.stations == 12
    assert result.mae == pytest.approx(np.abs(observed - centre)[known].mean())
    assert result.raw_mae == pytest.approx(np.abs(series.error[50:])[known].mean())
    assert result.skill == pytest.approx(1 - result.mae / result.raw_mae)
    assert result.skill_low < result.skill < result.skill_high
    assert 0.4 * result.mae < result.crps < result.mae


def test_the_crps_of_a_single_forecast_is_its_error() -> None:
    """Gneiting and Raftery (2007), Journal of the American Statistical Association 102, 359-378."""
    series = network(days=80, models=1, seed=4)
    result = score_guidance(series, 50)
    assert result.raw_crps == pytest.approx(result.raw_mae, rel=0.01)


def test_the_crps_of_a_normal_distribution_is_the_known_one() -> None:
    series = network(days=80, models=1, seed=4)
    series = replace(series, spread=np.full(series.observed.shape, 2.0))
    error = series.error[50:][np.isfinite(series.error[50:])]
    from scipy.stats import norm

    z = error / 2.0
    expected = 2.0 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert score_guidance(series, 50).raw_crps == pytest.approx(expected.mean(), rel=0.02)


def test_a_test_without_earlier_days_is_an_error() -> None:
    series = network(days=10)
    with pytest.raises(ValueError, match="earlier"):
        score_guidance(replace(series, observed=np.full_like(series.observed, np.nan)), 5)


def write_pairs(folder: Path) -> Path:
    series = network(days=40, stations=3, seed=4)
    rows = [
        f"s{at},{series.first_day + day},24,{series.guidance[day, at, 0]},{series.observed[day, at]}"
        for day in range(40)
        for at in range(3)
        if np.isfinite(series.observed[day, at])
    ]
    file = folder / "pairs.csv"
    file.write_text("\n".join(["station,valid_date,lead_hours,model,observed", *rows]), encoding="utf-8")
    return file


def test_the_command_prints_the_scores(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["evaluate", "--guidance", str(write_pairs(tmp_path)), "--models", "model"]
    assert main([*arguments, "--test-from", "2024-02-01", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["mae"] < scores["raw_mae"]
    assert scores["cases"] > 0
    assert main(arguments) == 0
    assert f"{scores['stations']} stations" in capsys.readouterr().out
    for invalid in (
        ["--test-from", "soon"],
        ["--lead", "48"],
        ["--spread", "none"],
        ["--test-from", "2030-01-01"],
        ["--name", "n"],
    ):
        assert main([*arguments, *invalid]) == 1
    assert main(arguments[:-2]) == 1


NORTHWEST_MODELS = ("CMCG", "ETA", "GASP", "GFS", "JMA", "NGPS", "TCWB", "UKMO")
REAL_PAIRS = {
    "hannover_ecmwf_24h-120h.csv": (
        *("--models", "ecmwf_mean", "--spread", "ecmwf_sd", "--lead", "24", "--test-from", "2019-01-01"),
    ),
    "pacific_nw_2004_48h.csv.gz": ("--models", *NORTHWEST_MODELS, "--lead", "48"),
}


@pytest.mark.parametrize("file", REAL_PAIRS)
@pytest.mark.integration
def test_real_forecasts_become_better(test_data: Path, capsys: pytest.CaptureFixture, file: str) -> None:
    pairs = test_data / "nwp" / file
    if not pairs.exists():
        pytest.skip(f"{pairs} does not exist")
    assert main(["evaluate", "--guidance", str(pairs), *REAL_PAIRS[file], "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["skill_low"] > 0
    assert scores["crps"] < scores["raw_crps"]
    assert scores["coverage"]["0.8"] == pytest.approx(0.8, abs=0.03)

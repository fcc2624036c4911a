"""The page shows the stored figures, including those that are unfavourable for the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from weatherglass.cli.generate_docs import DOCS
from weatherglass.evaluation import page

STORED = sorted((DOCS / page.FOLDER).glob("*.json"))


def test_the_page_in_docs_is_generated_from_the_stored_figures(tmp_path: Path) -> None:
    shutil.copytree(DOCS / page.FOLDER, tmp_path / page.FOLDER)
    assert page.write(tmp_path).read_text() == (DOCS / page.PAGE).read_text()


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_negative_skill_against_an_extra_baseline_is_reported_with_its_interval(path: Path) -> None:
    figures = json.loads(path.read_text())
    figures["skill"]["harmonic_arma"] = {name: [0.1, 0.05, 0.15] for name in figures["skill"]["persistence"]}
    assert list(page._worse_than_extra_baselines(figures)) == []
    figures["skill"]["harmonic_arma"] |= {"pressure": [-0.02, -0.07, 0.03], "humidity": [-0.2, -0.3, -0.1]}
    humidity, pressure = sorted(page._worse_than_extra_baselines(figures))
    for sentence, facts in [(humidity, ("humidity", "-20.0%")), (pressure, ("pressure", "-2.0%", "-0.070", "+0.030"))]:
        assert all(fact in sentence for fact in facts)
        assert sentence in page.section(path.stem, figures)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_larger_error_than_the_best_baseline_is_reported_with_variable_and_lead(path: Path) -> None:
    figures = json.loads(path.read_text())
    figures["gain_over_best"] = {name: [0.1] * 24 for name in figures["gain_over_best"]}
    best = page._worse_than_baselines(figures)
    figures["gain_over_best"]["humidity"][6] = -0.034
    worse = page._worse_than_baselines(figures)
    assert "-3.4%" not in best
    assert "humidity at 7 h (-3.4%)" in worse


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_missing_variable_of_a_station_is_a_dash(path: Path) -> None:
    figures = json.loads(path.read_text())
    group = next(iter(figures["by_station"].values()))
    group["mae"]["humidity"] = group["skill"]["humidity"] = None
    section = page.section(path.stem, figures)
    assert " – |" in section
    assert ",  |" not in section

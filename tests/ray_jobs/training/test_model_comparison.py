from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from ray_jobs.training import model_comparison
from tests.synthetic_history import history
from weatherglass.evaluation import arma, held_out
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.splits import split
from weatherglass.verification.scores import SKILL_LEADS


def test_candidates_are_scored_on_the_same_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of persistence against an independent calculation, on the cases that the classical model forecasts."""
    monkeypatch.setattr(arma, "STATIONS", 1)
    grid = history(days=110)
    parts = split(grid, test_share=0.3)
    base = base_models.fit(grid, parts.train)
    forecaster = fit.assemble(grid, parts, base, ())
    errors = model_comparison.errors(grid, parts.test, forecaster, 200)
    assert set(errors) == {held_out.MODEL, *held_out.BASELINES, arma.NAME}
    rows, at = held_out.choose_cases(grid, parts.test, 200)
    at = at[rows == rows.min()]
    temperature = grid.values[rows.min(), :, 0].astype(float)
    expected = np.mean([np.nanmean(np.abs(temperature[at + lead] - temperature[at])) for lead in SKILL_LEADS])
    np.testing.assert_allclose(errors["persistence"][0], expected, rtol=1e-4)
    assert errors[arma.NAME][0] < errors["persistence"][0]


def test_the_lowest_error_of_each_variable_is_bold() -> None:
    lines = model_comparison.table({"one": np.array([1.0, 2, 3, np.nan]), "the_other": np.array([2.0, 1, 3.5, 4])})
    assert lines[2:] == [
        "| one | **1.000** | 2.000 | **3.000** | nan |",
        "| the other | 2.000 | **1.000** | 3.500 | **4.000** |",
    ]


def test_the_table_is_a_tag_of_the_registered_version_and_the_log_names_the_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags: list[tuple[str, str, dict[str, str]]] = []
    monkeypatch.setattr(model_comparison, "load_context", lambda folder: (None, MagicMock()))
    monkeypatch.setattr(model_comparison.BoostedForecaster, "load", lambda path: None)
    monkeypatch.setattr(model_comparison, "errors", lambda *arguments: {"one": np.array([1.0, 2.0, 3.0, 4.0])})
    monkeypatch.setattr(
        model_comparison, "Registry", lambda settings: SimpleNamespace(set_tags=lambda *one: tags.append(one))
    )
    task = MagicMock()
    task.folder.load.return_value = {"forecaster": "7"}
    rows, text = model_comparison.compare_candidates(task)
    assert rows == model_comparison.table({"one": np.array([1.0, 2.0, 3.0, 4.0])})
    assert tags == [("forecaster", "7", {"candidates": "\n".join(rows)})]
    head, *listed = text.split("\n")
    assert listed == rows
    assert "6-24" in head.split()

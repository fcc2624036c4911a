"""The page says what its figures say, also where they are not in favour of the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from weatherglass.cli.generate_docs import DOCS
from weatherglass.evaluation import page

KEPT = sorted((DOCS / page.FOLDER).glob("*.json"))


def test_the_page_of_the_docs_is_made_from_the_figures_beside_it(tmp_path: Path) -> None:
    shutil.copytree(DOCS / page.FOLDER, tmp_path / page.FOLDER)
    assert page.write(tmp_path).read_text() == (DOCS / page.PAGE).read_text()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_rival_that_is_better_is_named(path: Path) -> None:
    figures = json.loads(path.read_text())
    figures["skill"]["harmonic_arma"] = {name: [0.1, 0.05, 0.15] for name in figures["skill"]["persistence"]}
    assert "Against harmonic ARMA" not in page.section(path.stem, figures)
    figures["skill"]["harmonic_arma"] |= {"pressure": [-0.02, -0.07, 0.03], "humidity": [-0.2, -0.3, -0.1]}
    said = page.section(path.stem, figures)
    assert "Against harmonic ARMA its pressure is not better: -2.0%, within chance (-0.070 … +0.030)." in said
    assert "Against harmonic ARMA its humidity is not better: -20.0%, more than by chance." in said


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_a_station_does_not_report_is_a_dash(path: Path) -> None:
    figures = json.loads(path.read_text())
    group = next(iter(figures["by_station"].values()))
    group["mae"]["humidity"] = group["skill"]["humidity"] = None
    said = page.section(path.stem, figures)
    assert " – |" in said
    assert ",  |" not in said

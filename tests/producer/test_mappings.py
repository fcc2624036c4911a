"""The mapping file: what it may contain, and errors that name the entry."""

from __future__ import annotations

import pytest

from producer.mappings import MappingError, read_mappings
from weatherglass.settings import Settings


def write(settings: Settings, text: str) -> None:
    settings.mappings.parent.mkdir(parents=True, exist_ok=True)
    settings.mappings.write_text(text, encoding="utf-8")


def test_without_a_file_there_are_no_mappings(settings: Settings) -> None:
    assert not read_mappings(settings).files


def test_a_mapping_of_files(settings: Settings) -> None:
    write(
        settings,
        """
        [files.garden]
        station = "my-garden"
        time_zone = "Europe/Oslo"
        time_format = "dd/mm/yyyy"
        columns = { timestamp = "Zeit", temperature = "Temp. außen" }
        units = { temperature = "°F" }
        """,
    )
    mapping = read_mappings(settings).files["garden"]
    assert mapping.station == "my-garden"
    assert str(mapping.zone) == "Europe/Oslo"
    assert mapping.columns == {"timestamp": "Zeit", "temperature": "Temp. außen"}
    assert mapping.units == {"temperature": "°F"}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("station = 7", ["files.garden.station"]),
        ("statoin = 'x'", ["files.garden.statoin"]),
        ("time_zone = 'Oslo'", ["files.garden.time_zone", "'Oslo'"]),
        ("time_format = 'dmy'", ["files.garden.time_format", "dd/mm/yyyy"]),
        ("columns = { rain = 'Regen' }", ["files.garden", "'rain'", "temperature"]),
        ("columns = { temperature = 'T', humidity = 'T' }", ["files.garden"]),
        ("units = { temperature = 'hPa' }", ["files.garden", "'hPa'", "°F"]),
        ("units = { rain = 'mm' }", ["files.garden", "'rain'"]),
        ("station", ["line 2"]),
    ],
)
def test_an_error_names_file_entry_and_what_is_allowed(settings: Settings, line: str, names: list[str]) -> None:
    write(settings, f"[files.garden]\n{line}\n")
    with pytest.raises(MappingError) as caught:
        read_mappings(settings)
    for name in (str(settings.mappings), *names):
        assert name in str(caught.value)


def test_a_file_in_another_encoding_is_an_error(settings: Settings) -> None:
    write(settings, "")
    settings.mappings.write_bytes("[files.außen]".encode("latin-1"))
    with pytest.raises(MappingError, match=str(settings.mappings)):
        read_mappings(settings)

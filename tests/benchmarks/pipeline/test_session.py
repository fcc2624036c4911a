"""An interrupted benchmark is continued only if it would measure the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.pipeline.scenarios import Scenario
from benchmarks.pipeline.session import Session

ARGUMENTS = {"scenarios": ["baseline", "rates"], "stations": 20, "minutes": 2.0}
MACHINE = {"cpu": "a", "cores": "2", "load_average": "0.1"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "benchmarks" / "unfinished.json"


@pytest.fixture
def earlier(file: Path) -> Session:
    """An unfinished one that was started at another time."""
    Session(file, ARGUMENTS, MACHINE)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"start": "20260105T120000Z"}))
    return Session(file, ARGUMENTS, MACHINE)


def test_the_same_arguments_on_the_same_machine_continue_the_runs(file: Path, earlier: Session) -> None:
    again = Session(file, ARGUMENTS, MACHINE | {"load_average": "3.2"})
    assert again.continued
    assert again.run(Scenario.RATES) == earlier.run(Scenario.RATES) == "20260105T120000Z-rates"


@pytest.mark.parametrize(
    ("arguments", "machine"),
    [(ARGUMENTS | {"stations": 21}, MACHINE), (ARGUMENTS, MACHINE | {"cores": "4"})],
    ids=["arguments", "machine"],
)
def test_what_would_differ_begins_new_runs(file: Path, earlier: Session, arguments: dict, machine: dict) -> None:
    other = Session(file, arguments, machine)
    assert not other.continued
    assert other.run(Scenario.RATES) != earlier.run(Scenario.RATES)


def test_finished_runs_are_not_continued(file: Path, earlier: Session) -> None:
    earlier.finish()
    assert not Session(file, ARGUMENTS, MACHINE).continued


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"start": "20260105T120000Z"}'])
def test_a_damaged_file_begins_new_runs(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert not Session(file, ARGUMENTS, MACHINE).continued
    assert Session(file, ARGUMENTS, MACHINE).continued

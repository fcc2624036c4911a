"""The wheel: built, installed into an empty environment, and used from an empty folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.weatherglass.cli.test_evaluate import table_of
from weatherglass.settings import PROJECT_ROOT
from weatherglass.stations import bundled_stations

pytestmark = pytest.mark.integration

SOURCES = ("weatherglass", "producer", "spark_jobs", "ray_jobs", "pyproject.toml", "README.md", "LICENSE")
DATA_FILES = (
    "spark_jobs/weatherglass.jar",
    "weatherglass/stations.csv",
    "weatherglass/api/dashboard/static/shell.js",
    "weatherglass/api/dashboard/static/land.json",
    "weatherglass/api/dashboard/static/try_api.css",
    "weatherglass/api/dashboard/templates/frame.html",
    "weatherglass/store/migrations/env.py",
    "weatherglass/store/migrations/script.py.mako",
)


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=600, **options)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and an empty current folder."""

    bin: Path
    folder: Path

    def weatherglass(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WEATHER"))}
        return run(self.bin / "weatherglass", *arguments, cwd=self.folder, env=environment)

    def python(self, code: str) -> str:
        done = run(self.bin / "python", "-I", "-c", code, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is written to the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (PROJECT_ROOT / name).is_dir():
            shutil.copytree(PROJECT_ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT_ROOT / name, source / name)
    target = tmp_path_factory.mktemp("dist")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", target)
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", *options, source)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The dependencies are those of the present environment, without its editable install of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    done = run(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--python", python, wheel)
    assert done.returncode == 0, done.stderr
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "venv" / "lib" / version / "site-packages"
    # A plain path entry: Python does not read the .pth files of the folder that it names.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "empty").mkdir()
    return Installed(folder / "venv" / "bin", folder / "empty")


def test_wheel_contains_all_packages_and_data_files_but_no_dags(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(DATA_FILES) <= names
    modules = {
        str(path.relative_to(PROJECT_ROOT))
        for package in ("weatherglass", "producer", "spark_jobs", "ray_jobs")
        for path in (PROJECT_ROOT / package).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == modules
    assert not [name for name in names if name.startswith(("dags/", "plugins/", "tests/", "docs/"))]


def test_installed_package_is_the_wheel_and_keeps_state_in_the_current_folder(installed: Installed) -> None:
    file, state = installed.python(
        "import weatherglass; from weatherglass.settings import Settings\n"
        "print(weatherglass.__file__, Settings().state_dir)"
    ).split()
    assert Path(file).is_relative_to(installed.bin.parent)
    assert Path(state) == installed.folder / ".weatherglass"


def test_every_module_can_be_imported(installed: Installed) -> None:
    """Except the modules that run a command on import."""
    installed.python(
        "import importlib, pkgutil, sys\n"
        "for top in ('weatherglass', 'producer', 'spark_jobs', 'ray_jobs'):\n"
        "    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, top + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
    )


def test_stations_lists_the_station_table(installed: Installed) -> None:
    done = installed.weatherglass("stations", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["station_id"] for row in json.loads(done.stdout)] == list(bundled_stations())


def test_check_reports_a_reading_that_is_out_of_range(installed: Installed, tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    with series.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "temperature (°C)"])
        writer.writerows([f"2023-05-01T{hour:02d}:00:00Z", 10 + hour / 10] for hour in range(5))
        writer.writerow(["2023-05-01T05:00:00Z", 99])
    done = installed.weatherglass("check", "--series", series, "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert {event["subject"] for event in result["events"]} == {"temperature"}
    assert "2023-05-01T05:00:00Z" in {event["onset"] for event in result["events"]}


def test_models_reads_an_empty_registry(installed: Installed) -> None:
    done = installed.weatherglass("models", "list")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_evaluate_scores_a_model(installed: Installed, model: SimpleNamespace, tmp_path: Path) -> None:
    model.forecaster.save(tmp_path / "model")
    table_of(model.grid).to_parquet(tmp_path / "history.parquet")
    places = [[station.station_id, station.latitude, station.longitude] for station in model.grid.stations]
    pd.DataFrame(places, columns=["station_id", "latitude", "longitude"]).to_csv(tmp_path / "s.csv", index=False)
    files = ("--history", tmp_path / "history.parquet", "--stations", tmp_path / "s.csv", "--model", tmp_path / "model")
    done = installed.weatherglass("evaluate", *files, "--cases", 300, "--name", "wheel")
    assert done.returncode == 0, done.stderr
    figures = json.loads((installed.folder / "docs" / "evaluation" / "wheel.json").read_text())
    assert set(figures["by_station"]) == {station.station_id for station in model.grid.stations}
    assert (installed.folder / "docs" / "evaluation.md").is_file()

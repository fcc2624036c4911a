"""Task of the DAG `prepare_history`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weatherglass.formatting import count_noun
from weatherglass.history.sources.statement_arguments import TIME_FORMATS
from weatherglass.settings import load_settings

if TYPE_CHECKING:
    from producer.kaggle_download import Account

TRAININGS = ["auto", "refit"]
__all__ = ["TIME_FORMATS", "TRAININGS", "fetch", "kaggle_account", "prepared"]

log = logging.getLogger("airflow.task")


def fetch(params: dict[str, Any] | None = None) -> list[str]:
    """Fetch the raw history of the source in the parameters; return the arguments of the job that prepares it."""
    from producer.history_download import fetch_history
    from weatherglass.history.source_choice import SourceChoice, choose

    settings, values = load_settings(), params or {}
    units = tuple(unit.strip() for unit in (values.get("units") or "").split(",") if unit.strip())
    texts = {name: values.get(name) or None for name in ("file", "time_zone", "time_format")}
    choice = choose(settings, SourceChoice(values["source"], units=units, **texts))
    source = fetch_history(settings, choice, datetime.now(UTC), log.info, kaggle_account())
    options = {"file": choice.file, "time-zone": choice.time_zone, "time-format": choice.time_format}
    return [
        *(f"--source={source}", f"--choice={choice.source}", *(f"--unit={unit}" for unit in choice.units)),
        *(f"--{name}={value}" for name, value in options.items() if value),
    ]


def prepared() -> str:
    """The prepared history in a few words."""
    from weatherglass.history.prepared import read_manifest

    manifest = read_manifest(load_settings().history_dir)
    if manifest is None:
        return "no history"
    hours, stations = count_noun(manifest.rows, "hour"), count_noun(manifest.stations, "station")
    return f"{hours} of {stations} from {manifest.source}, {manifest.first_hour[:10]} to {manifest.last_hour[:10]}"


def kaggle_account() -> Account | None:
    """The account in Airflow's connection `kaggle`; None without a complete one."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from producer.kaggle_download import CONNECTION, URL, Account

    try:
        connection = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        return None
    if not connection.login or not connection.password:
        return None
    return Account(connection.login, connection.password, connection.host or URL)

"""Task of the DAG `prepare_history`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weatherglass.settings import load_settings

if TYPE_CHECKING:
    from producer.kaggle_download import Account

TRAININGS = ["auto", "refit"]

log = logging.getLogger("airflow.task")


def fetch(params: dict[str, Any] | None = None) -> str:
    """Fetch the raw history of the source in the parameter `source` and return the source's name."""
    from producer.history_download import fetch_history

    return fetch_history(load_settings(), (params or {})["source"], datetime.now(UTC), log.info, kaggle_account())


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

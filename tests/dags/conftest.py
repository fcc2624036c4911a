"""Airflow with a temporary home."""

from __future__ import annotations

from tests import airflow_home  # noqa: F401 (must precede the import of Airflow)

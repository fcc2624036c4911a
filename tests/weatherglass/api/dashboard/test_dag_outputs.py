"""The link from the page of a DAG in Airflow to the page with its outputs."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from weatherglass.api.app import create_app
from weatherglass.api.dashboard.pages import OUTPUT_PAGES, PAGES_BY_PATH
from weatherglass.settings import PROJECT_ROOT, Settings

DAGS = {file.stem for file in (PROJECT_ROOT / "dags").glob("*.py")} - {"__init__"}


def test_the_links_are_of_existing_dags_and_pages() -> None:
    assert set(OUTPUT_PAGES) <= DAGS
    assert set(OUTPUT_PAGES.values()) <= set(PAGES_BY_PATH)


@pytest.mark.parametrize(
    ("dag", "page"), [("train_weekly", "/models"), ("ingest_files", ""), ("stream_features", "/system")]
)
def test_a_dag_links_to_its_page(dag: str, page: str) -> None:
    client = TestClient(create_app(Settings()), root_path="/mounted")
    response = client.get(f"/dashboard/of/{dag}", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, f"/mounted/dashboard{page}")

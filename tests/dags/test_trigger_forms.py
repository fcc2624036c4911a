"""Every DAG can be triggered from Airflow's form with the defaults of its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.airflow_server import AirflowServer, airflow_server
from tests.dags.test_dags import DAGS_FOLDER, EXPECTED
from tests.weatherglass.api.browser import CHROMIUM, CHROMIUM_ARGUMENTS, TIMEOUT_MS
from weatherglass.api.dashboard.pages import OUTPUT_PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

REQUIRED = {"rollback_model": ("reason", "replaced by mistake")}
"""DAGs with a required parameter: its name, and a valid value."""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowServer]:
    with airflow_server(tmp_path_factory.mktemp("airflow"), DAGS_FOLDER) as server:
        yield server


@pytest.fixture(scope="module")
def page(airflow: AirflowServer) -> Iterator[Page]:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 1200})
        page.set_default_timeout(TIMEOUT_MS)
        expect.set_options(timeout=TIMEOUT_MS)
        airflow.log_in(page)
        page.wait_for_url(f"{airflow.url}/")
        yield page
        browser.close()


def open_form(page: Page, airflow: AirflowServer, dag_id: str) -> Locator:
    page.goto(f"{airflow.url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    return page.get_by_role("dialog")


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_the_form_can_be_submitted_with_its_defaults(page: Page, airflow: AirflowServer, dag_id: str) -> None:
    from playwright.sync_api import expect

    form = open_form(page, airflow, dag_id)
    button = form.get_by_role("button", name="Trigger", exact=True)
    if dag_id in REQUIRED:
        name, value = REQUIRED[dag_id]
        field = form.locator(f"input[name=element_{name}]")
        expect(field).to_have_attribute("required", "")
        expect(button).to_be_disabled()
        field.fill(value)
    expect(button).to_be_enabled()
    with page.expect_response(lambda response: response.request.method == "POST") as triggered:
        button.click()
    assert triggered.value.ok, triggered.value.text()
    assert triggered.value.json()["dag_id"] == dag_id


def test_a_text_field_suggests_examples(page: Page, airflow: AirflowServer) -> None:
    form = open_form(page, airflow, "prepare_history")
    field = form.locator("input[name=element_time_zone]")
    suggested = form.locator(f"datalist#{field.get_attribute('list')} option")
    assert [option.get_attribute("value") for option in suggested.all()] == ["UTC", "+01:00", "Europe/Paris"]


@pytest.mark.parametrize("dag_id", ["verify_forecasts", "store_predictions"])
def test_the_page_of_a_dag_opens_the_page_with_its_result(page: Page, airflow: AirflowServer, dag_id: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{airflow.url}/dags/{dag_id}")
    page.get_by_role("link", name="Outputs").click()
    expect(page.frame_locator("iframe[title=Outputs]").locator("nav [aria-current=page]")).to_have_attribute(
        "href", f"/weatherglass/dashboard{OUTPUT_PAGES.get(dag_id, '/system')}"
    )

"""The pages: each a frame with its own module, which asks the API for what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader

from weatherglass.alerts.health import pipeline_health
from weatherglass.api.dashboard import static_files
from weatherglass.api.dependencies import Now, SettingsOf
from weatherglass.api.problems import Problem
from weatherglass.api.routes.health import HealthAnswer
from weatherglass.settings import Settings

router = APIRouter(include_in_schema=False)
router.include_router(static_files.router)

templates = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)


@dataclass(frozen=True)
class Page:
    """`path` below `/dashboard`; `charts`: whether it needs Plotly."""

    name: str
    path: str
    title: str
    charts: bool = True


PAGES = (
    Page("overview", "", "Overview", charts=False),
    Page("station", "/station", "Station"),
    Page("anomalies", "/anomalies", "Anomalies"),
    Page("models", "/models", "Models"),
    Page("system", "/system", "System"),
)
BY_PATH = {page.path: page for page in PAGES}

PRODUCED = {
    "ingest_observations": "",
    "serve_predictions": "",
    "prepare_history": "/models",
    "train_models": "/models",
}
"""The page that shows what a DAG produces; all others make the pipeline run."""


@router.get("/")
def home(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{_root(request)}/dashboard")


@router.get("/dashboard/of/{dag_id}")
def produced(request: Request, dag_id: Annotated[str, InPath(max_length=250)]) -> RedirectResponse:
    """From a DAG's page in Airflow to what it produces."""
    path = PRODUCED.get(dag_id, "/models" if "model" in dag_id or "verif" in dag_id else "/system")
    return RedirectResponse(f"{_root(request)}/dashboard{path}")


@router.get("/dashboard")
def overview(request: Request, settings: SettingsOf) -> HTMLResponse:
    return _page(BY_PATH[""], request, settings)


@router.get("/dashboard/health")
def state(request: Request, settings: SettingsOf, now: Now) -> HealthAnswer:
    """As `/health`, but always 200: a failing part is what the page shows, not a failure of the page."""
    return HealthAnswer.model_validate(pipeline_health(settings, now, request.app.state.store), from_attributes=True)


@router.get("/dashboard/{name}")
def page(request: Request, settings: SettingsOf, name: str) -> HTMLResponse:
    found = BY_PATH.get(f"/{name}")
    if found is None:
        raise Problem(404, "Not Found", f"there is no page {name!r}; /dashboard leads to all of them")
    return _page(found, request, settings)


def _page(page: Page, request: Request, settings: Settings) -> HTMLResponse:
    html = templates.get_template(f"{page.name}.html").render(
        page=page, pages=PAGES, root=_root(request), tiles=settings.map_tiles, plotly=static_files.PLOTLY_VERSION
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": content_security_policy(settings.map_tiles)})


def content_security_policy(tiles: str) -> str:
    """Scripts from here only; Plotly sets styles on elements; its pictures are data; tiles from their own host."""
    host = urlsplit(tiles)
    images = " ".join(["'self'", "data:", "blob:", *([f"{host.scheme}://{host.netloc}"] if tiles else [])])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        f"img-src {images}; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    )


def _root(request: Request) -> str:
    """Under what the app is mounted, without a slash at its end."""
    return request.scope.get("root_path", "").rstrip("/")

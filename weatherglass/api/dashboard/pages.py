"""The dashboard pages: HTML frames whose JavaScript modules request the data from the API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader

from weatherglass.api.dashboard import static_files
from weatherglass.api.dependencies import NowDep, SettingsDep
from weatherglass.api.problems import NOT_FOUND, Problem
from weatherglass.api.routes.health import HealthResponse, health_response
from weatherglass.settings import Settings

router = APIRouter(include_in_schema=False)
router.include_router(static_files.router)

templates = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)


@dataclass(frozen=True)
class Page:
    """A page. `path` is below `/dashboard`; `charts` is true if the page uses Plotly."""

    name: str
    path: str
    title: str
    charts: bool = True


PAGES = (
    Page("overview", "", "Overview", charts=False),
    Page("station", "/station", "Station"),
    Page("anomalies", "/anomalies", "Anomalies"),
    Page("weather_alerts", "/weather-alerts", "Weather alerts", charts=False),
    Page("models", "/models", "Models"),
    Page("compare", "/compare", "Compare", charts=False),
    Page("system", "/system", "System"),
    Page("benchmarks", "/benchmarks", "Benchmarks"),
)
PAGES_BY_PATH = {page.path: page for page in PAGES}

OUTPUT_PAGES = {
    **dict.fromkeys(
        ("ingest_observations", "ingest_files", "receive_mqtt", "simulate_observations", "serve_predictions"), ""
    ),
    **dict.fromkeys(
        ("prepare_history", "train_models", "train_daily", "train_weekly", "rollback_model", "verify_forecasts"),
        "/models",
    ),
    "benchmark_pipeline": "/benchmarks",
}
"""The page that shows the outputs of a DAG; `/system` for all other DAGs."""


@router.get("/")
def home(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{_root(request)}/dashboard")


@router.get("/dashboard/of/{dag_id}")
def dag_outputs(request: Request, dag_id: Annotated[str, InPath(max_length=250)]) -> RedirectResponse:
    """Redirect from a DAG's page in Airflow to the page that shows its outputs."""
    path = OUTPUT_PAGES.get(dag_id, "/system")
    return RedirectResponse(f"{_root(request)}/dashboard{path}")


@router.get("/dashboard")
def overview(request: Request, settings: SettingsDep) -> HTMLResponse:
    return _render(PAGES_BY_PATH[""], request, settings)


@router.get("/dashboard/health")
def dashboard_health(request: Request, settings: SettingsDep, now: NowDep) -> HealthResponse:
    """Like `/health`, but always with status 200, because a failing component is not an error of the page."""
    return health_response(settings, now, request.app.state.store)


@router.get("/dashboard/{name}")
def page(request: Request, settings: SettingsDep, name: str) -> HTMLResponse:
    requested = PAGES_BY_PATH.get(f"/{name}")
    if requested is None:
        raise Problem(NOT_FOUND, f"Page {name!r} does not exist. See /dashboard.")
    return _render(requested, request, settings)


def _render(page: Page, request: Request, settings: Settings) -> HTMLResponse:
    html = templates.get_template(f"{page.name}.html").render(
        page=page,
        pages=PAGES,
        root=_root(request),
        tiles=settings.map_tiles,
        plotly=static_files.PLOTLY_VERSION,
        logout=request.app.state.has_login,
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": content_security_policy(settings.map_tiles)})


def content_security_policy(tiles: str) -> str:
    """Allow scripts of this server only, inline styles and data: images for Plotly, and images of the map tile host."""
    host = urlsplit(tiles)
    images = " ".join(["'self'", "data:", "blob:", *([f"{host.scheme}://{host.netloc}"] if tiles else [])])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        f"img-src {images}; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    )


def _root(request: Request) -> str:
    """The path under which the app is mounted, without a trailing slash."""
    return request.scope.get("root_path", "").rstrip("/")

"""What Airflow loads: dashboard and API under `/weatherglass`, behind Airflow's login, and their way into its pages."""

from __future__ import annotations

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from airflow.plugins_manager import AirflowPlugin
from fastapi import Request

from weatherglass.api.app import create_app
from weatherglass.api.auth import from_own_pages
from weatherglass.api.problems import Problem
from weatherglass.settings import load_settings

PREFIX = "/weatherglass"


def who_may_trigger(request: Request, user: GetUserDep) -> str:
    """Whoever may trigger a DAG may say what a flag is worth; the name under which it is kept."""
    from_own_pages(request)
    if not get_auth_manager().is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, user=user):
        raise Problem(403, "Forbidden", f"{user.get_name()} may look, but not change anything here")
    return user.get_name()


class WeatherglassPlugin(AirflowPlugin):
    """Airflow does not ask for a login before a plugin's app does, so the guard is ours to add."""

    name = "weatherglass"
    fastapi_apps = [  # noqa: RUF012 (Airflow's own form)
        {
            "app": create_app(load_settings(), guard=requires_access_view(AccessView.WEBSITE), writer=who_may_trigger),
            "url_prefix": PREFIX,
            "name": "Weatherglass",
        }
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Weather",  # there is no room for more
            "href": f"{PREFIX}/dashboard",
            "icon": f"{PREFIX}/dashboard/static/icon.svg",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "weatherglass",
        },
        {
            "name": "Weatherglass API",
            "href": f"{PREFIX}/docs",
            "destination": "nav",
            "category": "docs",
            "url_route": "weatherglass-api",
        },
        {
            "name": "What it produces",
            "href": f"{PREFIX}/dashboard/of/{{DAG_ID}}",
            "icon": f"{PREFIX}/dashboard/static/icon.svg",
            "destination": "dag",
            "url_route": "weatherglass-produced",
        },
    ]

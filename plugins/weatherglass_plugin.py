"""What Airflow loads: the API under `/weatherglass`, behind Airflow's login, and its entry in the navigation."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from airflow.plugins_manager import AirflowPlugin

from plugins.api.app import create_app
from weatherglass.settings import load_settings

PREFIX = "/weatherglass"


class WeatherglassPlugin(AirflowPlugin):
    """Airflow does not ask for a login before a plugin's app does, so the guard is ours to add."""

    name = "weatherglass"
    fastapi_apps = [  # noqa: RUF012 (Airflow's own form)
        {
            "app": create_app(load_settings(), guard=requires_access_view(AccessView.WEBSITE)),
            "url_prefix": PREFIX,
            "name": "Weatherglass",
        }
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Weatherglass API",
            "href": f"{PREFIX}/docs",
            "destination": "nav",
            "url_route": "weatherglass-api",
        }
    ]

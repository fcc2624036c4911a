"""Airflow plugin: mounts the API and the dashboard behind Airflow's login, and writes the notes of DAG runs."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, Request

from plugins import run_notes
from weatherglass.api.app import create_app
from weatherglass.api.auth import require_same_origin
from weatherglass.api.login_throttle import LoginThrottleMiddleware
from weatherglass.api.problems import FORBIDDEN, Problem
from weatherglass.settings import load_settings

PREFIX = "/weatherglass"
AIRFLOW_LOGINS = (
    *("/auth/token", "/auth/token/cli"),  # of the simple auth manager and of FAB
    *("/auth/login/", "/auth/api/v1/security/login", "/auth/resetmypassword/form"),  # of FAB
)
"""Paths that accept a password."""


def user_allowed_to_trigger(request: Request, user: GetUserDep) -> str:
    """The name of the user, who must have the permission to trigger DAGs.

    Raises:
        Problem: the user has no such permission, or the request comes from another origin.
    """
    require_same_origin(request)
    if not get_auth_manager().is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, user=user):
        raise Problem(FORBIDDEN, f"{user.get_name()} has read-only access.")
    return user.get_name()


def user_allowed_to_read(
    request: Request, user: GetUserDep, _: Annotated[None, Depends(requires_access_view(AccessView.WEBSITE))]
) -> None:
    """Requires Airflow's login, and names the user for limits per user."""
    request.state.user = user.get_name()


class WeatherglassPlugin(AirflowPlugin):
    """The app requires the login itself, because Airflow does not protect the apps of plugins."""

    name = "weatherglass"
    fastapi_root_middlewares = [  # noqa: RUF012
        {
            "middleware": LoginThrottleMiddleware,
            "args": [],
            "kwargs": {"paths": AIRFLOW_LOGINS},
            "name": "login throttle",
        }
    ]
    fastapi_apps = [  # noqa: RUF012 (as defined by Airflow)
        {
            "app": create_app(
                load_settings(),
                require_access=user_allowed_to_read,
                require_writer=user_allowed_to_trigger,
            ),
            "url_prefix": PREFIX,
            "name": "Weatherglass",
        }
    ]
    listeners = [run_notes]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Weather",  # a longer name does not fit
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
            "name": "Outputs",
            "href": f"{PREFIX}/dashboard/of/{{DAG_ID}}",
            "icon": f"{PREFIX}/dashboard/static/icon.svg",
            "destination": "dag",
            "url_route": "weatherglass-produced",
        },
    ]

"""The auth manager of the cluster: users, roles and sessions in Airflow's database."""

from __future__ import annotations

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from fastapi import FastAPI
from flask_appbuilder.exceptions import PasswordComplexityValidationError

from weatherglass.launcher.credentials import MIN_PASSWORD_LENGTH


class ClusterFabAuthManager(FabAuthManager):
    """FAB's auth manager, whose logout ends the session on the server, and whose forms refuse short passwords.

    The name contains `FabAuthManager`, by which Airflow recognizes that tables of FAB are in use.
    """

    def get_fastapi_app(self) -> FastAPI | None:
        app = super().get_fastapi_app()
        assert self.flask_app
        self.flask_app.config.update(
            LOGOUT_REDIRECT_URL=super().get_url_logout(),
            FAB_PASSWORD_COMPLEXITY_ENABLED=True,
            FAB_PASSWORD_COMPLEXITY_VALIDATOR=require_length,
        )
        return app

    def get_url_logout(self) -> str:
        """The page that ends the session, and then redirects to the one without the slash, which removes the cookies.

        Airflow's own logout revokes the token and continues here. FAB would continue at the second page directly, and
        a copy of the cookie would start a new session after the logout.
        """
        return f"{super().get_url_logout()}/"


def require_length(password: str) -> None:
    """Raises PasswordComplexityValidationError if a password is too short."""
    if len(password.strip()) < MIN_PASSWORD_LENGTH:
        raise PasswordComplexityValidationError(f"The password needs at least {MIN_PASSWORD_LENGTH} characters")

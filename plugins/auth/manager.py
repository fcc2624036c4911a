"""The auth manager of the cluster: users, roles and sessions in Airflow's database."""

from __future__ import annotations

from functools import cached_property

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from flask_appbuilder.exceptions import PasswordComplexityValidationError

from plugins.auth.security_manager import PasswordCheckingSecurityManager, check_password


class ClusterFabAuthManager(FabAuthManager):
    """FAB's auth manager, whose logout ends the session on the server, and which refuses short and common passwords.

    The name contains `FabAuthManager`, by which Airflow recognizes that tables of FAB are in use.
    """

    def get_fastapi_app(self) -> FastAPI | None:
        app = super().get_fastapi_app()
        assert app
        assert self.flask_app
        self.flask_app.config.update(
            LOGOUT_REDIRECT_URL=super().get_url_logout(),
            FAB_PASSWORD_COMPLEXITY_ENABLED=True,
            FAB_PASSWORD_COMPLEXITY_VALIDATOR=check_password,
        )
        app.add_exception_handler(PasswordComplexityValidationError, _respond_to_refused_password)
        return app

    @cached_property
    def security_manager(self) -> PasswordCheckingSecurityManager:
        return PasswordCheckingSecurityManager(self.appbuilder)

    def get_url_logout(self) -> str:
        """The page that ends the session, and then redirects to the one without the slash, which removes the cookies.

        Airflow's own logout revokes the token and continues here. FAB would continue at the second page directly, and
        a copy of the cookie would start a new session after the logout.
        """
        return f"{super().get_url_logout()}/"


async def _respond_to_refused_password(_: Request, refused: Exception) -> JSONResponse:
    """The response of FAB's REST API, in the form of its other errors."""
    return JSONResponse({"detail": str(refused)}, status_code=422)

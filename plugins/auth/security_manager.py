"""Users of the cluster whose passwords are checked on every way: forms, FAB's REST API and Airflow's commands."""

from __future__ import annotations

from airflow.providers.fab.auth_manager.models import Group, Role, User
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from airflow.providers.fab.auth_manager.views.user_edit import CustomResetMyPasswordView
from airflow.providers.fab.www.utils import get_fab_auth_manager
from flask import Response, after_this_request, g
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget
from flask_appbuilder.forms import DynamicForm
from flask_appbuilder.security.forms import ResetPasswordForm
from wtforms import Field, PasswordField
from wtforms.validators import DataRequired, ValidationError

from weatherglass.launcher.credentials import password_problem


def check_password(password: str) -> None:
    """Raises PasswordComplexityValidationError if a new password is not accepted."""
    if problem := password_problem(password):
        raise PasswordComplexityValidationError(f"The password {problem}")


def _is_current_password(_: DynamicForm, field: Field) -> None:
    if not get_fab_auth_manager().security_manager.check_password(g.user.username, field.data):
        after_this_request(_forbid)
        raise ValidationError("This is not your current password")


def _forbid(response: Response) -> Response:
    """Make it count as a failed login: a user with the session of another must not guess the password."""
    response.status_code = 403
    return response


class OwnPasswordForm(ResetPasswordForm):
    """The form in which users change their own password. The current one protects a session that was left open."""

    current_password = PasswordField(
        "Current password", validators=[DataRequired(), _is_current_password], widget=BS3PasswordFieldWidget()
    )


class OwnPasswordView(CustomResetMyPasswordView):
    form = OwnPasswordForm
    form_columns = ("current_password", "password", "conf_password")


class PasswordCheckingSecurityManager(FabAirflowSecurityManagerOverride):
    """FAB's users. A password that is not accepted raises PasswordComplexityValidationError and changes nothing."""

    resetmypasswordview = OwnPasswordView

    def add_user(
        self,
        username: str,
        first_name: str,
        last_name: str,
        email: str,
        role: list[Role] | Role | None = None,
        password: str = "",
        hashed_password: str = "",
        groups: list[Group] | None = None,
    ) -> User:
        """As FAB's; checks first, because FAB replaces each error that occurs later by its own."""
        if not hashed_password:
            check_password(password)
        return super().add_user(username, first_name, last_name, email, role, password, hashed_password, groups)

    def _hash_password(self, password: str) -> str:
        """Called for every new password, also by FAB's REST API, which has no other place to check it."""
        try:
            check_password(password)
        except PasswordComplexityValidationError:
            self.session.rollback()  # the REST API has already changed the roles of the user
            raise
        return super()._hash_password(password)

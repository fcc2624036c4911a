"""Prepares roles and the account of the administrator: `python -m plugins.auth.users`, after the migration.

The password comes from the environment variable `AIRFLOW_PASSWORD`, since every user of the host can read arguments.
"""

from __future__ import annotations

import logging
import os
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from airflow.providers.fab.www.security import permissions

from weatherglass.launcher.credentials import USER

log = logging.getLogger(__name__)

ADMIN = "Admin"
ROLES_WITHOUT_PLUGINS = ("Viewer", "User")
"""Roles that may not list Airflow's plugins by default. Without it, the navigation has no link to the dashboard."""


def prepare_roles(manager: FabAirflowSecurityManagerOverride) -> None:
    """Let every role see the links of the plugin."""
    permission = manager.create_permission(permissions.ACTION_CAN_READ, permissions.RESOURCE_PLUGIN)
    for role in manager.get_all_roles():
        if role.name in ROLES_WITHOUT_PLUGINS:
            manager.add_permission_to_role(role, permission)


def prepare_administrator(manager: FabAirflowSecurityManagerOverride, password: str) -> None:
    """Create the account with which the pipeline is started, or give it this password if it has another one.

    A new password ends the sessions of the account. An account without the role or a deactivated one stays so.
    """
    user = manager.find_user(username=USER)
    if user is None:
        manager.add_user(USER, "Weatherglass", "administrator", f"{USER}@localhost", manager.find_role(ADMIN), password)
    elif not manager.check_password(USER, password):
        manager.reset_password(user.id, password)
        log.warning("the password of %s was changed to the value of AIRFLOW_PASSWORD", USER)


def main() -> int:
    with get_application_builder() as appbuilder:
        prepare_roles(appbuilder.sm)
        prepare_administrator(appbuilder.sm, os.environ["AIRFLOW_PASSWORD"])
    return 0


if __name__ == "__main__":
    sys.exit(main())

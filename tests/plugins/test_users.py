"""The administrator and the roles of the cluster, with a fake of FAB's security manager."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests import airflow_home  # noqa: F401 (must precede the import of Airflow)
from weatherglass.launcher.credentials import USER


class FakeManager:
    """Users with their passwords in plain text, and roles with their permissions."""

    def __init__(self, **passwords: str):
        self.passwords = passwords
        self.permissions: dict[str, list[str]] = {name: [] for name in ("Admin", "Op", "User", "Viewer")}
        self.changed: list[str] = []

    def get_all_roles(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self.permissions]

    def find_role(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name)

    def create_permission(self, action: str, resource: str) -> str:
        return f"{action} {resource}"

    def add_permission_to_role(self, role: SimpleNamespace, permission: str) -> None:
        self.permissions[role.name].append(permission)

    def find_user(self, username: str) -> SimpleNamespace | None:
        return SimpleNamespace(id=username) if username in self.passwords else None

    def check_password(self, username: str, password: str) -> bool:
        return self.passwords[username] == password

    def add_user(self, username: str, first: str, last: str, email: str, role: SimpleNamespace, password: str) -> None:
        assert role.name == "Admin"
        assert email.count("@") == 1
        self.passwords[username] = password
        self.changed.append(username)

    def reset_password(self, user_id: str, password: str) -> None:
        self.passwords[user_id] = password
        self.changed.append(user_id)


@pytest.mark.parametrize(
    ("before", "changed"), [({}, True), ({USER: "the first password"}, False), ({USER: "another password"}, True)]
)
def test_the_administrator_has_the_given_password(before: dict[str, str], changed: bool) -> None:
    """An unchanged password is not set again, because this would end the sessions of the account."""
    from plugins.auth.users import prepare_administrator

    manager = FakeManager(**before, viewer="of the viewer")
    prepare_administrator(manager, "the first password")  # type: ignore[arg-type]
    assert manager.passwords == {USER: "the first password", "viewer": "of the viewer"}
    assert manager.changed == [USER] * changed


def test_roles_that_only_lack_the_links_of_the_plugin_get_them() -> None:
    from plugins.auth.users import prepare_roles

    manager = FakeManager()
    prepare_roles(manager)  # type: ignore[arg-type]
    links = ["can_read Plugins"]
    assert manager.permissions == {"Viewer": links, "User": links, "Op": [], "Admin": []}

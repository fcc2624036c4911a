"""Secrets are created once, differ from each other, and are readable by their owner only."""

from __future__ import annotations

import base64
import json
import stat

from weatherglass.launcher.credentials import USER, Credentials
from weatherglass.settings import Settings


def test_secrets_are_kept_and_differ_from_each_other(settings: Settings) -> None:
    first = Credentials(settings)
    created = [first.password, first.key("a"), first.key("b"), first.ray_token_file.read_text()]
    again = Credentials(settings)
    assert created == [again.password, again.key("a"), again.key("b"), again.ray_token_file.read_text()]
    assert len(set(created)) == len(created)


def test_files_are_readable_by_the_owner_only(settings: Settings) -> None:
    credentials = Credentials(settings)
    settings.secrets_dir.chmod(0o755)
    credentials = Credentials(settings)
    credentials.key("a")
    for path in (
        settings.secrets_dir,
        credentials.passwords_file,
        credentials.ray_token_file,
        settings.secrets_dir / "a",
    ):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_password_file_has_airflows_format(settings: Settings) -> None:
    credentials = Credentials(settings)
    assert json.loads(credentials.passwords_file.read_text()) == {USER: credentials.password}


def test_another_state_folder_has_other_secrets(settings: Settings) -> None:
    other = settings.model_copy(update={"state_dir": settings.state_dir / "other"})
    assert Credentials(settings).password != Credentials(Settings(**other.model_dump())).password


def test_a_key_has_32_bytes_in_url_safe_base64(settings: Settings) -> None:
    assert len(base64.urlsafe_b64decode(Credentials(settings).key("a"))) == 32

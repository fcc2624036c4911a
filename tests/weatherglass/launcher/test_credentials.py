"""Secrets are created once, differ from each other, are readable by their owner only, and are never used if damaged."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.log_records import product_records
from weatherglass.files import DamagedFileError
from weatherglass.launcher.credentials import KEYS, PASSWORDS, RAY_TOKEN, USER, Credentials
from weatherglass.settings import Settings

FILES = (PASSWORDS, RAY_TOKEN, *KEYS)


def test_secrets_are_kept_and_differ_from_each_other(settings: Settings) -> None:
    first = Credentials(settings)
    created = [first.password, *map(first.key, KEYS), first.ray_token_file.read_text()]
    again = Credentials(settings)
    assert created == [again.password, *map(again.key, KEYS), again.ray_token_file.read_text()]
    assert len(set(created)) == len(created)


def test_the_check_creates_every_secret(settings: Settings) -> None:
    Credentials(settings).check()
    assert {path.name for path in settings.secrets_dir.iterdir()} == set(FILES)


def test_files_are_readable_by_the_owner_only_from_creation_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("the mode was set after the creation"))
    Credentials(settings).check()
    for path in (settings.secrets_dir, *settings.secrets_dir.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("name", FILES)
def test_access_of_other_users_is_removed_and_reported(
    settings: Settings, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    Credentials(settings).check()
    assert not product_records(caplog)
    (settings.secrets_dir / name).chmod(0o644)
    settings.secrets_dir.chmod(0o755)
    Credentials(settings).check()
    assert stat.S_IMODE((settings.secrets_dir / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700
    assert {record.args for record in caplog.records} == {(settings.secrets_dir,), (settings.secrets_dir / name,)}


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "half": lambda content: content[: len(content) // 2],
    "blank": lambda _: " \n" * 40,
    "zeros": lambda content: "\0" * len(content),
    "other": lambda content: "ü" * len(content),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_secret_is_named_and_neither_used_nor_replaced(
    settings: Settings, name: str, damage: Callable[[str], str]
) -> None:
    Credentials(settings).check()
    file = settings.secrets_dir / name
    content = file.read_text()
    damaged = damage(content)
    file.write_text(damaged)
    with pytest.raises(DamagedFileError) as error:
        Credentials(settings).check()
    assert error.value.file == file
    assert file.read_text() == damaged
    for secret in {content, content[: len(content) // 2]}:
        assert secret not in str(error.value), "the message must not contain the secret"
    file.unlink()  # the remedy
    Credentials(settings).check()
    assert file.read_text() != content


NO_LOGINS = (
    *("{}", "[]", "null", '{"other": "long enough"}', '{"admin": "long enough", "other": ""}'),
    *('{"admin": ""}', '{"admin": "        "}', '{"admin": "short"}', '{"admin": null}', '{"admin": 12345678}'),
    *('{"admin": "password1"}', '{"admin": "Password1"}', '{"admin": "long enough", "other": "12345678"}'),
)


@pytest.mark.parametrize("content", NO_LOGINS)
def test_logins_without_a_good_password_are_refused(settings: Settings, content: str) -> None:
    credentials = Credentials(settings)
    (settings.secrets_dir / PASSWORDS).write_text(content)
    for use in (lambda: credentials.password, lambda: credentials.passwords_file):
        with pytest.raises(DamagedFileError) as error:
            use()
        assert error.value.file == settings.secrets_dir / PASSWORDS


def test_a_password_chosen_by_the_user_is_used(settings: Settings) -> None:
    credentials = Credentials(settings)
    (settings.secrets_dir / PASSWORDS).write_text(json.dumps({USER: "chosen by the user"}))
    assert credentials.password == "chosen by the user"


def test_password_file_has_airflows_format(settings: Settings) -> None:
    credentials = Credentials(settings)
    assert json.loads(credentials.passwords_file.read_text()) == {USER: credentials.password}


def test_another_state_folder_has_other_secrets(settings: Settings) -> None:
    other = settings.model_copy(update={"state_dir": settings.state_dir / "other"})
    assert Credentials(settings).password != Credentials(Settings(**other.model_dump())).password


@pytest.mark.parametrize("name", KEYS)
def test_a_key_has_32_bytes_in_url_safe_base64(settings: Settings, name: str) -> None:
    assert len(base64.urlsafe_b64decode(Credentials(settings).key(name))) == 32


def test_a_failed_write_creates_no_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Credentials(settings)

    def full(_: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="space"):
            credentials.check()
    assert not list(settings.secrets_dir.iterdir())
    credentials.check()

"""Passwords, keys and tokens: created at the first start, each in a file that only its owner can read.

A secret that is empty, incomplete or changed is never used and never replaced: a new one would silently make encrypted
values in Airflow's database unreadable, and log out every client.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from weatherglass.files import DamagedFileError, read_json, write_atomically
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

USER = "admin"
PASSWORDS = "airflow_passwords.json"
RAY_TOKEN = "ray_token"  # noqa: S105  (a file name)
KEYS = {
    "airflow_fernet_key": "passwords of Airflow connections must then be entered again",
    "airflow_secret_key": "users of Airflow must then log in again",
    "airflow_jwt_secret": "users of Airflow must then log in again",
}
"""Airflow's keys, and what a new key means for users."""

MIN_PASSWORD_LENGTH = 8
"""A user may replace the generated password, which has 16 characters."""
TOKEN_PATTERN = re.compile(r"[0-9a-f]{64}")
KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}=")
"""32 bytes in URL-safe base64."""

RESTORE = "Restore it from a backup, or remove it: the next start creates a new one"


class Credentials:
    """The secrets in `<state>/secrets/`. A missing secret is created when it is first used.

    Reading a secret raises DamagedFileError if it is empty, incomplete or changed.
    """

    def __init__(self, settings: Settings):
        self.folder = settings.secrets_dir
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_private(self.folder, 0o700)

    def check(self) -> None:
        """Create missing secrets and check the others, before anything is started.

        Raises:
            DamagedFileError: a secret is empty, incomplete or changed.
        """
        _ = self.passwords_file, self.ray_token_file
        for name in KEYS:
            self.key(name)

    @property
    def passwords_file(self) -> Path:
        """Airflow's logins: one JSON object from user to password. Airflow would fill an empty file by itself."""
        file = self._create_if_missing(PASSWORDS, lambda: json.dumps({USER: secrets.token_urlsafe(12)}))
        read_json(file, _check_passwords, RESTORE)
        return file

    @property
    def password(self) -> str:
        return read_json(self.passwords_file, lambda passwords: str(passwords[USER]), RESTORE)

    @property
    def ray_token_file(self) -> Path:
        file = self._create_if_missing(RAY_TOKEN, lambda: secrets.token_hex(32))
        _read_secret(file, TOKEN_PATTERN, RESTORE)
        return file

    def key(self, name: str) -> str:
        """One of `KEYS`: 32 random bytes in URL-safe base64, the format of Fernet keys."""
        file = self._create_if_missing(name, lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode())
        return _read_secret(file, KEY_PATTERN, f"{RESTORE}; {KEYS[name]}")

    def _create_if_missing(self, name: str, create: Callable[[], str]) -> Path:
        file = self.folder / name
        if not file.exists():
            write_atomically(file, create(), private=True)
        _make_private(file, 0o600)
        return file


def password_problem(password: str) -> str | None:
    """Why a password that a user chose is not accepted; None if it is.

    It is compared, without regard to upper and lower case, with the 30,000 common passwords in the package zxcvbn.
    """
    if len(password.strip()) < MIN_PASSWORD_LENGTH:
        return f"has less than {MIN_PASSWORD_LENGTH} characters"
    return "is one of the most common passwords" if password.strip().lower() in _common_passwords() else None


@cache
def _common_passwords() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # large, and rarely needed

    return frozenset(FREQUENCY_LISTS["passwords"])


def _read_secret(file: Path, pattern: re.Pattern[str], remedy: str) -> str:
    """The secret in a file, without the spaces and line ends around it."""
    secret = file.read_bytes().decode("ascii", errors="replace").strip()
    if not pattern.fullmatch(secret):  # the message must not contain the content
        raise DamagedFileError(file, "it is incomplete or was changed" if secret else "it is empty", remedy)
    return secret


def _check_passwords(content: Any) -> None:
    """Raises ValueError if a password is not a text or is not accepted, KeyError if the user is missing."""
    for user in {USER, *content}:
        password = content[user]
        problem = password_problem(password) if isinstance(password, str) else "is not a text"
        if problem:
            raise ValueError(f"the password of {user} {problem}")


def _make_private(path: Path, mode: int) -> None:
    """Remove the access of others, for example after a copy, and report it: they may have read the secret."""
    if path.stat().st_mode & 0o077:
        path.chmod(mode)
        log.warning("%s was accessible to other users of this machine; now only its owner can access it", path)

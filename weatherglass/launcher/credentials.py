"""Passwords, keys and tokens: created at the first start, each in a file that only its owner can read."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from weatherglass.files import write_atomically
from weatherglass.settings import Settings

USER = "admin"


class Credentials:
    """The secrets in `<state>/secrets/`. A missing secret is created when it is first used."""

    def __init__(self, settings: Settings):
        self.folder = settings.secrets_dir
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)

    @property
    def passwords_file(self) -> Path:
        """Airflow's logins: one JSON object from user to password."""
        self._read_or_create("airflow_passwords.json", lambda: json.dumps({USER: secrets.token_urlsafe(12)}))
        return self.folder / "airflow_passwords.json"

    @property
    def password(self) -> str:
        return str(json.loads(self.passwords_file.read_text(encoding="utf-8"))[USER])

    @property
    def ray_token_file(self) -> Path:
        self._read_or_create("ray_token", lambda: secrets.token_hex(32))
        return self.folder / "ray_token"

    def key(self, name: str) -> str:
        """A random key: 32 bytes in URL-safe base64, the format of Fernet keys."""
        return self._read_or_create(name, lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode())

    def _read_or_create(self, name: str, create: Callable[[], str]) -> str:
        file = self.folder / name
        if not file.exists():
            write_atomically(file, create(), private=True)
        return file.read_text(encoding="utf-8")

"""Passwords, keys and tokens: made once, at first start, each in a file that only its owner can read."""

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
    """The secrets of one stack, in `<state>/secrets/`. Whatever is missing is made when it is first asked for."""

    def __init__(self, settings: Settings):
        self.folder = settings.secrets_dir
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)

    @property
    def passwords_file(self) -> Path:
        """Airflow's logins: one JSON object from user to password."""
        self._kept("airflow_passwords.json", lambda: json.dumps({USER: secrets.token_urlsafe(12)}))
        return self.folder / "airflow_passwords.json"

    @property
    def password(self) -> str:
        return str(json.loads(self.passwords_file.read_text(encoding="utf-8"))[USER])

    @property
    def ray_token_file(self) -> Path:
        self._kept("ray_token", lambda: secrets.token_hex(32))
        return self.folder / "ray_token"

    def key(self, name: str) -> str:
        """A random key: 32 bytes in URL-safe base64, which is also what Fernet wants."""
        return self._kept(name, lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode())

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        file = self.folder / name
        if not file.exists():
            write_atomically(file, make(), private=True)
        return file.read_text(encoding="utf-8")

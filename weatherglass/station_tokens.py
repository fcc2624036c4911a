"""Tokens with which the user's own stations publish observations, stored as hashes in `secrets/station_tokens.json`.

A token is for one station, several, or all whose id has a prefix. Generated tokens have 128 random bits, so a plain
SHA-256 cannot be inverted. A token may also be a text that a station sends anyway and that cannot be chosen, such as
the PASSKEY of Ecowitt; such a text can be guessed, see `StationToken.is_generated`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from weatherglass.files import exclusive_lock, read_json, write_atomically
from weatherglass.records import iso
from weatherglass.settings import MIN_TOKEN_LENGTH, Settings
from weatherglass.station_table import STATION_ID

TOKEN_BYTES = 16
"""As many hexadecimal digits as fit into the fields of consoles, and that cannot be guessed."""
MAX_LENGTH = 100
EVERY = "*"
"""At the end of a station id: all stations whose id begins like this."""
RESTORE = "Restore it from a backup, or remove it and create the tokens again: weatherglass tokens add"


class TokenError(ValueError):
    """A token cannot be created as requested; the message says why and what is allowed. It contains no secret."""


@dataclass(frozen=True)
class StationToken:
    """What a token permits.

    Attributes:
        name: unique.
        stations: ids, or beginnings of ids that end with `EVERY`.
        sha256: hash of the token, in hexadecimal digits.
        created_at: ISO 8601, UTC.
        is_generated: whether it is random. The number of guesses of other ones must be limited.
    """

    name: str
    stations: tuple[str, ...]
    sha256: str
    created_at: str
    is_generated: bool

    def permits(self, station_id: str) -> bool:
        """Whether records of this station may be published with the token."""
        return any(
            station_id.startswith(name.removesuffix(EVERY)) if name.endswith(EVERY) else station_id == name
            for name in self.stations
        )

    @property
    def only_station(self) -> str | None:
        """The station of a token for a single one; None for other tokens."""
        return self.stations[0] if len(self.stations) == 1 and not self.stations[0].endswith(EVERY) else None


class StationTokens:
    """The tokens of a state folder. Changes by other processes take effect at the next call."""

    def __init__(self, settings: Settings):
        self.file = settings.secrets_dir / "station_tokens.json"
        self._read: tuple[tuple[int, int, int], Mapping[str, StationToken]] | None = None

    def all(self) -> list[StationToken]:
        """All tokens, in the order of their creation.

        Raises:
            DamagedFileError: the file does not have the content that was written to it.
        """
        return list(self._by_hash().values())

    def find(self, secret: str) -> StationToken | None:
        """The token with this text; None if there is none.

        Raises:
            DamagedFileError: as for `all`.
        """
        return self._by_hash().get(_hash(secret))

    def add(self, name: str, stations: Sequence[str], now: datetime, secret: str | None = None) -> str:
        """Create a token and return its text, which is stored nowhere.

        Args:
            stations: see `StationToken`; whether they exist is not checked.
            now: UTC.
            secret: the text, if it cannot be generated.

        Raises:
            TokenError: the name is taken or not possible, or the text is.
            DamagedFileError: as for `all`.
        """
        if not STATION_ID.fullmatch(name) or len(name) > MAX_LENGTH:
            raise TokenError(f"name {name!r}; allowed: lower-case letters a-z and digits, with single dashes between")
        if not stations:
            raise TokenError("a token needs at least one station")
        text = secrets.token_hex(TOKEN_BYTES) if secret is None else _checked(secret)
        token = StationToken(name, tuple(stations), _hash(text), iso(now), secret is None)
        with self._lock():
            tokens = self.all()
            if any(other.name == name for other in tokens):
                raise TokenError(f"there is a token {name} already; remove it first: weatherglass tokens remove {name}")
            if other := self.find(text):
                raise TokenError(f"this is the text of the token {other.name}; each token needs one of its own")
            self._write([*tokens, token])
        return text

    def remove(self, name: str) -> bool:
        """Revoke a token; whether there was one.

        Raises:
            DamagedFileError: as for `all`.
        """
        with self._lock():
            tokens = self.all()
            kept = [token for token in tokens if token.name != name]
            if len(kept) < len(tokens):
                self._write(kept)
        return len(kept) < len(tokens)

    def _write(self, tokens: Sequence[StationToken]) -> None:
        content = json.dumps([asdict(token) for token in tokens], indent=1)
        write_atomically(self.file, content + "\n", private=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other processes that change the tokens."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(self.file.with_suffix(".lock")):
            yield

    def _by_hash(self) -> Mapping[str, StationToken]:
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return {}
        state = stat.st_ino, stat.st_mtime_ns, stat.st_size
        read = self._read
        if read is None or read[0] != state:
            read = self._read = state, read_json(self.file, _parse, RESTORE)
        return read[1]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checked(secret: str) -> str:
    is_text = secret.isascii() and secret.isprintable() and " " not in secret
    if not is_text or not MIN_TOKEN_LENGTH <= len(secret) <= MAX_LENGTH:
        raise TokenError(f"a token has {MIN_TOKEN_LENGTH} to {MAX_LENGTH} ASCII characters without spaces")
    return secret


def _parse(content: Any) -> dict[str, StationToken]:
    """The tokens by hash; the messages of errors contain nothing of the file."""
    tokens = {}
    for entry in content:
        token = StationToken(**{**entry, "stations": tuple(entry["stations"])})
        texts = (token.name, token.sha256, token.created_at, *token.stations)
        if not all(isinstance(text, str) for text in texts) or not isinstance(token.is_generated, bool):
            raise TypeError("a field of a token has another type")
        tokens[token.sha256] = token
    return tokens

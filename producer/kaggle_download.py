"""Kaggle's «Historical Hourly Weather Data», downloaded over Kaggle's API with the credentials of an account.

A download that was cut off goes on where it stopped, if the file there is still the same one (its ETag). The server's
MD5, where it tells one, is checked; the SHA-256 of what was downloaded lies beside it (`….sha256`), so that a zip that
was changed on this disk is found and fetched anew.

Source: the client at github.com/Kaggle/kaggle-api: basic authentication with user name and key, one redirect to a
storage that takes `Range`. `requests` does not show the credentials to another host.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from weatherglass.history.sources import kaggle
from weatherglass.settings import Settings

URL = "https://www.kaggle.com"
DATASET = "selfishgene/historical-hourly-weather-data"
CONNECTION = "kaggle"
"""Airflow's connection with the account: login and password are Kaggle's user name and API key."""
TIMEOUT = (15.0, 60.0)
ATTEMPTS = 5
LONGEST_WAIT = 30.0
BLOCK = 1 << 14
"""Bytes read at a time; a block that the line breaks in is lost."""
LARGEST = 500_000_000
"""Bytes; the data set has some 12 MB. What is larger is something else."""


class KaggleError(RuntimeError):
    """The data set cannot be downloaded; the message says why and what to do."""


class _CutOff(Exception):
    """The line broke or the server is busy; what came stays, and the next attempt goes on from there."""


@dataclass(frozen=True)
class Account:
    """Of kaggle.com; the key is under *Settings, API*."""

    user: str
    key: str
    url: str = URL


def download(
    account: Account, settings: Settings, say: Callable[[str], object], longest_wait: float = LONGEST_WAIT
) -> Path:
    """The zip at `settings.kaggle_file`, downloaded unless it is there, whole, and unchanged.

    Raises:
        KaggleError: the account is refused, the data set is gone, or the line breaks again and again.
        SourceError: what came is not the data set.
    """
    target = settings.kaggle_file
    if is_whole(target):
        say(f"{target} is there already, and is what was downloaded")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(max=longest_wait),
        retry=retry_if_exception_type(_CutOff),
        reraise=True,
    )
    try:
        retrying(_continue, account, part, say)
    except _CutOff as error:
        raise KaggleError(f"{error} (tried {ATTEMPTS} times; the next try goes on from there)") from error
    try:
        kaggle.read_cities(part)
    except kaggle.SourceError:
        _forget(part)
        raise
    digest = _sha256(part)
    _checksum_file(target).write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    part.replace(target)
    _note(part).unlink(missing_ok=True)
    say(f"{target}: {target.stat().st_size:,} bytes, SHA-256 {digest}")
    return target


def is_whole(zip_path: Path) -> bool:
    """Whether the file is what was downloaded, by the checksum beside it."""
    try:
        kept = _checksum_file(zip_path).read_text(encoding="utf-8").split()[0]
        return kept == _sha256(zip_path)
    except (OSError, IndexError):
        return False


def _continue(account: Account, part: Path, say: Callable[[str], object]) -> None:
    """Fetch what is still missing of the part file.

    Raises:
        KaggleError, _CutOff.
    """
    known = _read_note(part)
    begin = part.stat().st_size if "etag" in known and part.exists() else 0
    asked = {"Range": f"bytes={begin}-", "If-Range": str(known["etag"])} if begin else {}
    with _answer(account, asked) as response:
        if response.status_code == 416 or (begin and response.status_code != 206):
            begin = 0
        if response.status_code == 416:
            _forget(part)
            raise _CutOff("the part downloaded so far does not fit the file any more")
        size = begin + int(response.headers.get("Content-Length") or 0)
        if size > LARGEST:
            raise KaggleError(f"Kaggle offers {size:,} bytes for {DATASET}; it is another data set")
        md5 = _md5(response) or known.get("md5")
        if etag := response.headers.get("ETag"):
            _note(part).write_text(json.dumps({"etag": etag, "md5": md5}), encoding="utf-8")
        say(f"downloading {size:,} bytes" + (f", going on at {begin:,}" if begin else ""))
        came = begin
        try:
            with part.open("ab" if begin else "wb") as file:
                for block in response.iter_content(BLOCK):
                    came += len(block)
                    if came > LARGEST:
                        raise KaggleError(f"Kaggle sends more than {LARGEST:,} bytes for {DATASET}")
                    file.write(block)
        except requests.RequestException as error:
            raise _CutOff(f"the download broke off after {came:,} of {size:,} bytes: {error}") from error
    if response.headers.get("Content-Length") and came < size:
        raise _CutOff(f"the download broke off after {came:,} of {size:,} bytes")
    if md5 and md5 != _digest(part, "md5"):
        _forget(part)
        raise _CutOff("what was downloaded has another MD5 than the server's file")


@contextmanager
def _answer(account: Account, headers: dict[str, str]) -> Iterator[requests.Response]:
    url = f"{account.url.rstrip('/')}/api/v1/datasets/download/{DATASET}"
    try:
        response = requests.get(
            url,
            auth=(account.user, account.key),
            headers={"Accept-Encoding": "identity", **headers},
            timeout=TIMEOUT,
            stream=True,
        )
    except requests.RequestException as error:
        raise _CutOff(f"{url} cannot be reached: {error}") from error
    with response:
        if response.status_code in (401, 403):
            raise KaggleError(
                f"Kaggle refuses the account {account.user!r} ({response.status_code}): correct login and password "
                f"(user name and API key) of Airflow's connection `{CONNECTION}`; the key is on kaggle.com, Settings"
            )
        if response.status_code == 404:
            raise KaggleError(f"{url} is not there (404): Kaggle has no data set {DATASET} any more")
        if response.status_code == 429 or response.status_code >= 500:
            raise _CutOff(f"{url} answered {response.status_code}")
        if not response.ok and response.status_code != 416:
            raise KaggleError(f"{url} answered {response.status_code} {response.reason}")
        yield response


def _md5(response: requests.Response) -> str | None:
    """Of the whole file, as Google's storage tells it."""
    found = re.search(r"md5=([A-Za-z0-9+/=]+)", response.headers.get("x-goog-hash", ""))
    return base64.b64decode(found[1]).hex() if found else None


def _note(part: Path) -> Path:
    return part.with_suffix(".part.json")


def _read_note(part: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _checksum_file(zip_path: Path) -> Path:
    return zip_path.with_name(f"{zip_path.name}.sha256")


def _sha256(path: Path) -> str:
    return _digest(path, "sha256")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()

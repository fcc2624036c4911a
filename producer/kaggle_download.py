"""Downloads Kaggle's «Historical Hourly Weather Data» over Kaggle's API with the credentials of an account.

An interrupted download resumes where it stopped if the file on the server is unchanged (ETag). The MD5 of the server is
checked if it sends one. The SHA-256 of the downloaded file is stored next to it (`….sha256`), so that a file that was
changed locally is detected and downloaded again.

Source: the client at github.com/Kaggle/kaggle-api: basic authentication with user name and key, and one redirect to a
storage server that supports `Range`. `requests` does not send the credentials to another host.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from weatherglass.files import file_digest
from weatherglass.history.sources import SourceError, kaggle
from weatherglass.history.sources.zip_member import MAX_ZIP_BYTES
from weatherglass.settings import Settings

URL = "https://www.kaggle.com"
DATASET = "selfishgene/historical-hourly-weather-data"
CONNECTION = "kaggle"
"""Airflow connection with the account: login and password are Kaggle's user name and API key."""
TIMEOUT = (15.0, 60.0)
"""Connect and read timeout, seconds."""
ATTEMPTS = 5
MAX_WAIT_SECONDS = 30.0
"""Longest random wait between two attempts."""
BLOCK_BYTES = 1 << 14
"""Bytes read at a time; an incomplete block is lost when the connection breaks."""


class KaggleError(RuntimeError):
    """The data set cannot be downloaded; the message gives the cause and what to do."""


class _DownloadInterrupted(Exception):
    """The connection broke, or the server is busy; the next attempt resumes with the bytes received so far."""


@dataclass(frozen=True)
class Account:
    """An account of kaggle.com; the key is under *Settings, API*."""

    user: str
    key: str
    url: str = URL


def download(
    account: Account, settings: Settings, log: Callable[[str], object], max_wait_seconds: float = MAX_WAIT_SECONDS
) -> Path:
    """The zip at `settings.kaggle_file`, downloaded unless an intact file exists.

    Raises:
        KaggleError: the account is rejected, the data set does not exist, or all attempts were interrupted.
        SourceError: the downloaded file is not the expected data set.
    """
    target = settings.kaggle_file
    if is_intact(target):
        log(f"{target} exists and matches its checksum")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(max=max_wait_seconds),
        retry=retry_if_exception_type(_DownloadInterrupted),
        reraise=True,
    )
    try:
        retrying(_resume, account, partial, log)
    except _DownloadInterrupted as error:
        raise KaggleError(f"{error} ({ATTEMPTS} attempts; the next run resumes there)") from error
    try:
        kaggle.read_cities(partial)
    except SourceError:
        _discard(partial)
        raise
    digest = file_digest(partial)
    _checksum_file(target).write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    partial.replace(target)
    _metadata_file(partial).unlink(missing_ok=True)
    log(f"Downloaded {target}: {target.stat().st_size:,} bytes, SHA-256 {digest}")
    return target


def is_intact(zip_path: Path) -> bool:
    """Whether the file matches its checksum file."""
    try:
        checksum = _checksum_file(zip_path).read_text(encoding="utf-8").split()[0]
        return checksum == file_digest(zip_path)
    except (OSError, IndexError, ValueError):  # no checksum file, or a damaged one
        return False


def _resume(account: Account, partial: Path, log: Callable[[str], object]) -> None:
    """Download the missing rest of the partial file.

    Raises:
        KaggleError, _DownloadInterrupted.
    """
    metadata = _read_metadata(partial)
    begin = partial.stat().st_size if "etag" in metadata and partial.exists() else 0
    headers = {"Range": f"bytes={begin}-", "If-Range": str(metadata["etag"])} if begin else {}
    with _request(account, headers) as response:
        if response.status_code == 416 or (begin and response.status_code != 206):
            begin = 0
        if response.status_code == 416:
            _discard(partial)
            raise _DownloadInterrupted("the partial file does not match the file on the server any more")
        size = begin + int(response.headers.get("Content-Length") or 0)
        if size > MAX_ZIP_BYTES:
            raise KaggleError(f"{DATASET} has {size:,} bytes on Kaggle: this is not the expected data set")
        md5 = _md5(response) or metadata.get("md5")
        if etag := response.headers.get("ETag"):
            _metadata_file(partial).write_text(json.dumps({"etag": etag, "md5": md5}), encoding="utf-8")
        log(f"Downloading {size:,} bytes" + (f", resuming at {begin:,}" if begin else ""))
        received = begin
        try:
            with partial.open("ab" if begin else "wb") as file:
                for block in response.iter_content(BLOCK_BYTES):
                    received += len(block)
                    if received > MAX_ZIP_BYTES:
                        raise KaggleError(f"Kaggle sends more than {MAX_ZIP_BYTES:,} bytes for {DATASET}")
                    file.write(block)
        except requests.RequestException as error:
            raise _DownloadInterrupted(f"download interrupted after {received:,} of {size:,} bytes: {error}") from error
    if response.headers.get("Content-Length") and received < size:
        raise _DownloadInterrupted(f"download interrupted after {received:,} of {size:,} bytes")
    if md5 and md5 != file_digest(partial, "md5"):
        _discard(partial)
        raise _DownloadInterrupted("the MD5 of the downloaded file differs from that of the server")


@contextmanager
def _request(account: Account, headers: dict[str, str]) -> Iterator[requests.Response]:
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
        raise _DownloadInterrupted(f"{url} cannot be reached: {error}") from error
    with response:
        if response.status_code in (401, 403):
            raise KaggleError(
                f"Kaggle rejects the account {account.user!r} ({response.status_code}). Check login and password (user "
                f"name and API key) of the Airflow connection `{CONNECTION}`; the key is on kaggle.com under Settings"
            )
        if response.status_code == 404:
            raise KaggleError(f"{url} does not exist (404): Kaggle no longer has the data set {DATASET}")
        if response.status_code == 429 or response.status_code >= 500:
            raise _DownloadInterrupted(f"{url} returned {response.status_code}")
        if not response.ok and response.status_code != 416:
            raise KaggleError(f"{url} returned {response.status_code} {response.reason}")
        yield response


def _md5(response: requests.Response) -> str | None:
    """MD5 of the complete file from the header of Google's storage, as hex digits."""
    match = re.search(r"md5=([A-Za-z0-9+/=]+)", response.headers.get("x-goog-hash", ""))
    return base64.b64decode(match[1]).hex() if match else None


def _metadata_file(partial: Path) -> Path:
    return partial.with_suffix(".part.json")


def _read_metadata(partial: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_metadata_file(partial).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # no file, or a damaged one: the download starts again
        return {}


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _metadata_file(partial).unlink(missing_ok=True)


def _checksum_file(zip_path: Path) -> Path:
    return zip_path.with_name(f"{zip_path.name}.sha256")

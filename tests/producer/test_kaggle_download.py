"""The download of the zip from a server that imitates Kaggle's API and its storage server."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from producer.history_download import fetch_history
from producer.kaggle_download import BLOCK_BYTES, CONNECTION, DATASET, Account, KaggleError, download, is_intact
from tests.conftest import make_settings
from weatherglass.history.source_choice import SourceChoice
from weatherglass.history.sources import SourceError, kaggle
from weatherglass.settings import LOOPBACK, Settings

ACCOUNT = Account("meteorologist", "a-key")


def a_zip(cities: str = "City,Country,Latitude,Longitude\nDenver,United States,39.7,-105.0\n") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("city_attributes.csv", cities)
        for name in kaggle.FILES.values():
            archive.writestr(name, "datetime,Denver\n2013-01-01 00:00:00,1.0\n")
        archive.writestr("padding.bin", bytes(range(256)) * 4000)  # incompressible, so that there is much to interrupt
    return data.getvalue()


@dataclass
class Storage:
    """The file on the server, its failures, and the requests that it received.

    Attributes:
        breaks: after how many bytes the connection breaks in each of the next responses.
        status: error status of each of the next requests to the API.
        ranges: header `Range` of each request to the storage server.
        authorizations: header `Authorization` of each request to the storage server.
    """

    content: bytes
    breaks: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    md5: str | None = None
    url: str = ""
    port: int = 0

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    @property
    def account(self) -> Account:
        return Account(ACCOUNT.user, ACCOUNT.key, self.url)


@pytest.fixture
def storage() -> Iterator[Storage]:
    stored = Storage(a_zip())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/api/v1/datasets/download/{DATASET}":
                self.api()
            else:
                self.blob()

        def api(self) -> None:
            expected = base64.b64encode(f"{ACCOUNT.user}:{ACCOUNT.key}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {expected}":
                self.end(401)
            elif stored.status:
                self.end(stored.status.pop(0))
            else:
                self.end(302, {"Location": f"http://localhost:{stored.port}/bucket/archive.zip?sig=x"})

        def blob(self) -> None:
            stored.authorizations.append(self.headers.get("Authorization") or "")
            stored.ranges.append(self.headers.get("Range"))
            begin = 0
            requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            if requested and self.headers.get("If-Range") == stored.etag:
                begin = int(requested[1])
            body = stored.content[begin:]
            md5 = stored.md5 or base64.b64encode(hashlib.md5(stored.content).digest()).decode()
            self.send_response(206 if begin else 200)
            for name, value in {
                "Content-Length": str(len(body)),
                "ETag": stored.etag,
                "x-goog-hash": f"crc32c=AAAAAA==,md5={md5}",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            cut = stored.breaks.pop(0) if stored.breaks else len(body)
            self.wfile.write(body[:cut])
            self.close_connection = True

        def end(self, status: int, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    stored.port = server.server_port
    stored.url = f"http://{LOOPBACK}:{stored.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield stored
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(storage: Storage, settings: Settings) -> Path:
    return download(storage.account, settings, print, max_wait_seconds=0.01)


def test_an_interrupted_download_resumes_where_it_stopped(storage: Storage, settings: Settings) -> None:
    storage.breaks, storage.status = [20 * BLOCK_BYTES, 30 * BLOCK_BYTES + 7], [503, 429]
    file = fetch(storage, settings)
    assert file == settings.kaggle_file
    assert file.read_bytes() == storage.content
    assert storage.ranges == [None, f"bytes={20 * BLOCK_BYTES}-", f"bytes={50 * BLOCK_BYTES}-"]
    assert set(storage.authorizations) == {""}, "only Kaggle receives the key"
    checksum = (file.parent / f"{file.name}.sha256").read_text().split()
    assert checksum == [hashlib.sha256(storage.content).hexdigest(), file.name]
    assert {path.name for path in file.parent.iterdir()} == {file.name, f"{file.name}.sha256"}


def test_a_later_run_resumes_and_only_a_damaged_file_is_downloaded_again(storage: Storage, settings: Settings) -> None:
    storage.breaks = [5 * BLOCK_BYTES] + [0] * 20
    with pytest.raises(KaggleError, match=f"{5 * BLOCK_BYTES:,} of"):
        fetch(storage, settings)
    storage.breaks, storage.ranges = [], []
    fetch(storage, settings)
    fetch(storage, settings)
    assert storage.ranges == [f"bytes={5 * BLOCK_BYTES}-"]
    settings.kaggle_file.write_bytes(b"damaged")
    fetch(storage, settings)
    assert settings.kaggle_file.read_bytes() == storage.content


@pytest.mark.parametrize("content", [b"", b'{"et', b"3", b"[]", b"\xff\xfe"])
def test_damaged_files_beside_the_download_only_cause_another_download(
    storage: Storage, settings: Settings, content: bytes
) -> None:
    storage.breaks = [5 * BLOCK_BYTES] + [0] * 20
    with pytest.raises(KaggleError):
        fetch(storage, settings)
    storage.breaks = []
    (metadata,) = settings.kaggle_file.parent.glob("*.json")
    metadata.write_bytes(content)
    assert fetch(storage, settings).read_bytes() == storage.content
    settings.kaggle_file.with_name(f"{settings.kaggle_file.name}.sha256").write_bytes(content)
    assert not is_intact(settings.kaggle_file)
    assert fetch(storage, settings).read_bytes() == storage.content
    assert is_intact(settings.kaggle_file)


def test_a_partial_file_is_discarded_if_the_server_has_another_one(storage: Storage, settings: Settings) -> None:
    storage.breaks = [5 * BLOCK_BYTES] + [0] * 20
    with pytest.raises(KaggleError):
        fetch(storage, settings)
    storage.content, storage.breaks = a_zip("City,Country,Latitude,Longitude\nMiami,United States,25.8,-80.2\n"), []
    assert fetch(storage, settings).read_bytes() == storage.content


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_rejected_request_is_not_retried(status: int, storage: Storage, settings: Settings) -> None:
    storage.status = [status]
    with pytest.raises(KaggleError, match=str(status)):
        fetch(storage, settings)
    assert storage.ranges == []


def test_the_error_for_a_wrong_key_names_the_connection_and_not_the_key(storage: Storage, settings: Settings) -> None:
    with pytest.raises(KaggleError, match=f"`{CONNECTION}`") as error:
        download(Account("meteorologist", "wrong-key", storage.url), settings, print, max_wait_seconds=0.01)
    assert "wrong-key" not in str(error.value)


def test_a_file_with_a_wrong_md5_or_another_data_set_is_discarded(storage: Storage, settings: Settings) -> None:
    storage.md5 = base64.b64encode(b"0" * 16).decode()
    with pytest.raises(KaggleError, match="MD5"):
        fetch(storage, settings)
    storage.md5, storage.content = None, a_zip("Town,Land\nA,B\n")
    with pytest.raises(SourceError, match="City"):
        fetch(storage, settings)
    assert list(settings.kaggle_file.parent.iterdir()) == []


def test_with_an_account_the_source_of_history_is_kaggle(storage: Storage, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "state")
    assert fetch_history(settings, SourceChoice(), datetime.now(UTC), print, storage.account) == "kaggle"
    assert settings.kaggle_file.exists()

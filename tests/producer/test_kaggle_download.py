"""The download of Kaggle's zip, from a server that answers as Kaggle's API and the storage behind it do."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from producer.history_download import fetch_history
from producer.kaggle_download import BLOCK, DATASET, Account, KaggleError, download
from tests.conftest import make_settings
from weatherglass.history.sources import SourceError, kaggle
from weatherglass.settings import LOOPBACK, Settings

ACCOUNT = Account("meteorologist", "a-key")


def a_zip(cities: str = "City,Country,Latitude,Longitude\nDenver,United States,39.7,-105.0\n") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("city_attributes.csv", cities)
        for name in kaggle.FILES.values():
            archive.writestr(name, "datetime,Denver\n2013-01-01 00:00:00,1.0\n")
        archive.writestr("padding.bin", bytes(range(256)) * 4000)  # stored as it is, so that there is much to cut off
    return data.getvalue()


@dataclass
class Storage:
    """What lies at Kaggle, and its bad days: after how many bytes each next answer breaks off."""

    content: bytes
    breaks: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    seen_elsewhere: list[str] = field(default_factory=list)
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
    held = Storage(a_zip())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/api/v1/datasets/download/{DATASET}":
                self.api()
            else:
                self.blob()

        def api(self) -> None:
            wanted = base64.b64encode(f"{ACCOUNT.user}:{ACCOUNT.key}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                self.end(401)
            elif held.status:
                self.end(held.status.pop(0))
            else:
                self.end(302, {"Location": f"http://localhost:{held.port}/bucket/archive.zip?sig=x"})

        def blob(self) -> None:
            held.seen_elsewhere.append(self.headers.get("Authorization") or "")
            held.ranges.append(self.headers.get("Range"))
            begin = 0
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            if asked and self.headers.get("If-Range") == held.etag:
                begin = int(asked[1])
            part = held.content[begin:]
            md5 = held.md5 or base64.b64encode(hashlib.md5(held.content).digest()).decode()
            self.send_response(206 if begin else 200)
            for name, value in {
                "Content-Length": str(len(part)),
                "ETag": held.etag,
                "x-goog-hash": f"crc32c=AAAAAA==,md5={md5}",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            cut = held.breaks.pop(0) if held.breaks else len(part)
            self.wfile.write(part[:cut])
            self.close_connection = True

        def end(self, status: int, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    held.port = server.server_port
    held.url = f"http://{LOOPBACK}:{held.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(storage: Storage, settings: Settings) -> Path:
    return download(storage.account, settings, print, longest_wait=0.01)


def test_a_download_goes_on_where_it_was_cut_off(storage: Storage, settings: Settings) -> None:
    storage.breaks, storage.status = [20 * BLOCK, 30 * BLOCK + 7], [503, 429]
    file = fetch(storage, settings)
    assert file == settings.kaggle_file
    assert file.read_bytes() == storage.content
    assert storage.ranges == [None, f"bytes={20 * BLOCK}-", f"bytes={50 * BLOCK}-"]
    assert set(storage.seen_elsewhere) == {""}, "the key is shown to Kaggle alone"
    kept = (file.parent / f"{file.name}.sha256").read_text().split()
    assert kept == [hashlib.sha256(storage.content).hexdigest(), file.name]
    assert {path.name for path in file.parent.iterdir()} == {file.name, f"{file.name}.sha256"}


def test_another_process_goes_on_too_and_a_whole_file_is_not_fetched_again(
    storage: Storage, settings: Settings
) -> None:
    storage.breaks = [5 * BLOCK] + [0] * 20
    with pytest.raises(KaggleError, match=f"{5 * BLOCK:,} of"):
        fetch(storage, settings)
    storage.breaks, storage.ranges = [], []
    fetch(storage, settings)
    fetch(storage, settings)
    assert storage.ranges == [f"bytes={5 * BLOCK}-"]
    settings.kaggle_file.write_bytes(b"rotten")
    fetch(storage, settings)
    assert settings.kaggle_file.read_bytes() == storage.content


def test_parts_of_two_files_are_never_put_together(storage: Storage, settings: Settings) -> None:
    storage.breaks = [5 * BLOCK] + [0] * 20
    with pytest.raises(KaggleError):
        fetch(storage, settings)
    storage.content, storage.breaks = a_zip("City,Country,Latitude,Longitude\nMiami,United States,25.8,-80.2\n"), []
    assert fetch(storage, settings).read_bytes() == storage.content


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_said_at_once(status: int, storage: Storage, settings: Settings) -> None:
    storage.status = [status]
    with pytest.raises(KaggleError, match=str(status)):
        fetch(storage, settings)
    assert storage.ranges == []


def test_a_wrong_key_names_the_connection(storage: Storage, settings: Settings) -> None:
    with pytest.raises(KaggleError, match="connection `kaggle`") as told:
        download(Account("meteorologist", "wrong", storage.url), settings, print, longest_wait=0.01)
    assert "wrong" not in str(told.value).replace("wrong account", "")


def test_what_does_not_fit_its_md5_or_is_another_data_set_is_not_kept(storage: Storage, settings: Settings) -> None:
    storage.md5 = base64.b64encode(b"0" * 16).decode()
    with pytest.raises(KaggleError, match="MD5"):
        fetch(storage, settings)
    storage.md5, storage.content = None, a_zip("Town,Land\nA,B\n")
    with pytest.raises(SourceError, match="City"):
        fetch(storage, settings)
    assert list(settings.kaggle_file.parent.iterdir()) == []


def test_with_an_account_the_history_comes_from_kaggle(storage: Storage, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    settings = make_settings(tmp_path / "state")
    assert fetch_history(settings, "auto", datetime.now(UTC), print, storage.account) == "kaggle"
    assert settings.kaggle_file.exists()

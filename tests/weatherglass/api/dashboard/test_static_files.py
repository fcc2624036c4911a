"""Static files are served as they are, compressed if possible and not again if unchanged; others do not exist."""

from __future__ import annotations

import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from weatherglass.api.dashboard import static_files

URL = "/dashboard/static"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}


@pytest.mark.parametrize("file", sorted(static_files.FOLDER.iterdir()), ids=lambda file: file.name)
def test_each_file_is_served_compressed_or_not_and_revalidated(client: TestClient, file: Path) -> None:
    plain = client.get(f"{URL}/{file.name}", headers={"accept-encoding": "identity"})
    gzipped = client.get(f"{URL}/{file.name}", headers={"accept-encoding": "gzip"})
    assert plain.status_code == gzipped.status_code == 200
    assert plain.content == gzipped.content == file.read_bytes()
    assert ("content-encoding" in plain.headers, gzipped.headers["content-encoding"]) == (False, "gzip")
    assert plain.headers["content-type"].partition(";")[0] == MEDIA_TYPES[file.suffix]
    assert "no-cache" in plain.headers["cache-control"]
    unchanged = client.get(f"{URL}/{file.name}", headers={"if-none-match": plain.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert client.get(f"{URL}/{file.name}", headers={"if-none-match": '"other"'}).status_code == 200


def test_a_changed_file_has_another_etag(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "FOLDER", tmp_path)
    etags = set()
    for number in range(3):
        (tmp_path / "page.js").write_text(f"let x = {number}")
        os.utime(tmp_path / "page.js", (number, number))
        response = client.get(f"{URL}/page.js")
        assert response.text == f"let x = {number}"
        etags.add(response.headers["etag"])
    assert len(etags) == 3


def test_folders_other_kinds_of_files_and_missing_ones_do_not_exist(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "static"
    monkeypatch.setattr(static_files, "FOLDER", folder)
    (folder / "folder.js").mkdir(parents=True)
    for file in (folder / "notes.txt", folder / "page.js", tmp_path / "outside.js"):
        file.write_text("x")
    assert client.get(f"{URL}/page.js").status_code == 200
    for name in ("folder.js", "notes.txt", "missing.js", "%2e%2e%2foutside.js", f"{tmp_path}/outside.js"):
        assert client.get(f"{URL}/{name}").status_code == 404


def test_plotly_is_served_under_its_version_only(client: TestClient) -> None:
    package = find_spec("plotly")
    assert package is not None
    assert package.origin is not None
    script = client.get(f"{URL}/plotly-{version('plotly')}.js")
    assert script.content == (Path(package.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    assert "immutable" in script.headers["cache-control"]
    assert client.get(f"{URL}/plotly-0.0.1.js").status_code == 404

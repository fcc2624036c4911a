"""Static files of the dashboard, and the files of Plotly and Swagger UI from installed packages."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response

from weatherglass.api.problems import NOT_FOUND, Problem

router = APIRouter()

FOLDER = Path(__file__).with_name("static")
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
PLOTLY_VERSION = version("plotly")
SWAGGER_VERSION = version("fastapi_swagger")


@dataclass(frozen=True)
class StaticAsset:
    """The content of a file, compressed once."""

    content: bytes
    gzipped: bytes
    media_type: str
    etag: str


@router.get("/dashboard/static/plotly-{number}.js")
def plotly(request: Request, number: str) -> Response:
    return _packaged_file(request, "plotly", number, "package_data/plotly.min.js")


@router.get("/dashboard/static/swagger-ui-{number}.js")
def swagger_ui_script(request: Request, number: str) -> Response:
    return _packaged_file(request, "fastapi_swagger", number, "resources/swagger-ui-bundle.js")


@router.get("/dashboard/static/swagger-ui-{number}.css")
def swagger_ui_style(request: Request, number: str) -> Response:
    return _packaged_file(request, "fastapi_swagger", number, "resources/swagger-ui.css")


def _packaged_file(request: Request, package: str, number: str, path: str) -> Response:
    """A file of an installed package. Its URL contains the version, so that browsers cache it without revalidation."""
    installed = version(package)
    if number != installed:
        raise Problem(NOT_FOUND, f"The installed version of {package} is {installed}.")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / path
    return _asset_response(request, _load(file, file.stat().st_mtime_ns), "private, max-age=31536000, immutable")


@router.get("/dashboard/static/{name}")
def static(request: Request, name: str) -> Response:
    file = FOLDER / name
    if file.parent != FOLDER or file.suffix not in MEDIA_TYPES or not file.is_file():
        raise Problem(NOT_FOUND, f"File {name!r} does not exist.")
    return _asset_response(request, _load(file, file.stat().st_mtime_ns), "private, no-cache")


@lru_cache(maxsize=64)
def _load(file: Path, modified: int) -> StaticAsset:  # noqa: ARG001 (cache key)
    content = file.read_bytes()
    etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    return StaticAsset(content, gzip.compress(content, 6), MEDIA_TYPES[file.suffix], etag)


def _asset_response(request: Request, asset: StaticAsset, cache_control: str) -> Response:
    headers = {"ETag": asset.etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    gzipped = "gzip" in request.headers.get("accept-encoding", "")
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.gzipped if gzipped else asset.content, media_type=asset.media_type, headers=headers)

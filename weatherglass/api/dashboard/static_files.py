"""Scripts, styles and the outlines of land; and Plotly's script out of the installed wheel."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response

from weatherglass.api.problems import Problem

router = APIRouter()

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
PLOTLY_VERSION = version("plotly")


@dataclass(frozen=True)
class Asset:
    """A file's content, packed once."""

    content: bytes
    packed: bytes
    kind: str
    tag: str


@router.get("/dashboard/static/plotly-{number}.js")
def plotly(request: Request, number: str) -> Response:
    """Named by its version, so that a browser asks for it once."""
    if number != PLOTLY_VERSION:
        raise Problem(404, "Not Found", f"Plotly is here in version {PLOTLY_VERSION}")
    found = find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    script = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return _answer(request, _read(script, script.stat().st_mtime_ns), "private, max-age=31536000, immutable")


@router.get("/dashboard/static/{name}")
def static(request: Request, name: str) -> Response:
    file = FOLDER / name
    if file.parent != FOLDER or file.suffix not in TYPES or not file.is_file():
        raise Problem(404, "Not Found", f"there is no file {name!r}")
    return _answer(request, _read(file, file.stat().st_mtime_ns), "private, no-cache")


@lru_cache(maxsize=64)
def _read(file: Path, changed: int) -> Asset:  # noqa: ARG001 (read anew when it changes)
    content = file.read_bytes()
    tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    return Asset(content, gzip.compress(content, 6), TYPES[file.suffix], tag)


def _answer(request: Request, asset: Asset, caching: str) -> Response:
    headers = {"ETag": asset.tag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
    if asset.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.packed if packed else asset.content, media_type=asset.kind, headers=headers)

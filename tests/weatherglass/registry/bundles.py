"""The members of a bundle, to change them and to write them to a file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import TypeVar

import pytest

from weatherglass.cli.models import LOADERS
from weatherglass.registry.bundle import HEADER_NAME, BundleError, open_bundle

Contents = dict[str, bytes]
T = TypeVar("T")
TREES = "temperature-01-03.residual.txt"


def with_new_checksums(contents: Contents, drop: str = "") -> Contents:
    """Return the contents without one member and with matching checksums, as an attacker could compute them."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items() if name != HEADER_NAME}
    manifest = json.loads(contents["model.json"])
    manifest["files"] = {name: digest for name, digest in digests.items() if name in manifest["files"]}
    changed = {**contents, "model.json": json.dumps(manifest).encode()}
    digests["model.json"] = hashlib.sha256(changed["model.json"]).hexdigest()
    header = json.loads(contents[HEADER_NAME])
    header["files"] = without(digests, drop)
    return without({**changed, HEADER_NAME: json.dumps(header).encode()}, drop)


def without(contents: dict[str, T], name: str) -> dict[str, T]:
    return {key: data for key, data in contents.items() if key != name}


def write(contents: Contents, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in contents.items():
            archive.writestr(member, data)


def rejected_member(file: Path) -> str | None:
    """The member of the error with which a bundle is rejected."""
    with pytest.raises(BundleError) as raised, open_bundle(file, LOADERS):
        pass
    assert raised.value.file == file
    return raised.value.member

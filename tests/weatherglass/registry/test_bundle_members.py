"""A bundle with changed members, also with matching checksums, is rejected with the name of the member."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import make_settings
from tests.weatherglass.registry.bundles import TREES, Contents, rejected_member, with_new_checksums, without, write
from weatherglass.cli.models import LOADERS, import_model
from weatherglass.registry.bundle import HEADER_NAME, BundleError, open_bundle
from weatherglass.registry.registry import ANOMALY_DETECTOR

pytestmark = pytest.mark.integration


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.marker,))


def pickled(marker: Path) -> bytes:
    data = io.BytesIO()
    np.savez(data, coefficients=np.array([Payload(marker)], dtype=object))
    return data.getvalue()


def with_digest(contents: Contents, name: str) -> bytes:
    """The header with the checksum of one member."""
    header = json.loads(contents[HEADER_NAME])
    header["files"][name] = hashlib.sha256(contents[name]).hexdigest()
    return json.dumps(header).encode()


def edited(name: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Contents, Path], Contents]:
    """A function that edits a JSON member; checksums match afterwards."""

    def edit_contents(contents: Contents, _: Path) -> Contents:
        document = json.loads(contents[name])
        edit(document)
        changed = {**contents, name: json.dumps(document).encode()}
        return changed if name == HEADER_NAME else with_new_checksums(changed)

    return edit_contents


def with_arrays(edit: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Contents, Path], Contents]:
    """A function that edits the arrays; checksums match afterwards."""

    def edit_contents(contents: Contents, _: Path) -> Contents:
        with np.load(io.BytesIO(contents["arrays.npz"])) as archive:
            arrays = dict(archive)
        edit(arrays)
        data = io.BytesIO()
        np.savez(data, **arrays)
        return with_new_checksums({**contents, "arrays.npz": data.getvalue()})

    return edit_contents


TAMPERED: dict[str, tuple[Callable[[Contents, Path], Contents], str]] = {
    "a changed tree": (lambda c, _: {**c, TREES: c[TREES].replace(b"leaf_value=", b"leaf_value=9", 1)}, TREES),
    "a missing file": (lambda c, _: without(c, TREES), repr(TREES)),
    "an added file": (lambda c, _: {**c, "setup.py": b"print()"}, "'setup.py'"),
    "an added file with matching checksums": (
        lambda c, _: with_new_checksums({**c, "setup.py": b"print()"}),
        "model.json",
    ),
    "a parent folder": (lambda c, _: {**c, "../evil.txt": b""}, "'../evil.txt'"),
    "an absolute name": (lambda c, _: {**c, "/tmp/evil.txt": b""}, "'/tmp/evil.txt'"),
    "a folder": (lambda c, _: {**c, "folder/": b""}, "'folder/'"),
    "a control character": (lambda c, _: {**c, "a\x1b[2J": b""}, "'a\\x1b[2J'"),
    "a missing header": (lambda c, _: without(c, HEADER_NAME), HEADER_NAME),
    "a missing manifest": (lambda c, _: with_new_checksums(c, drop="model.json"), "model.json"),
    "a header of another type": (lambda c, _: {**c, HEADER_NAME: b"[1]"}, HEADER_NAME),
    "a deeply nested header": (lambda c, _: {**c, HEADER_NAME: b"[" * 100_000}, HEADER_NAME),
    "a large header": (lambda c, _: {**c, HEADER_NAME: c[HEADER_NAME] + b" " * (17 << 20)}, HEADER_NAME),
    "another kind": (edited(HEADER_NAME, lambda h: h.update(kind="oracle")), HEADER_NAME),
    "the other kind": (edited(HEADER_NAME, lambda h: h.update(kind=ANOMALY_DETECTOR)), "model.json"),
    "a kind of another type": (edited(HEADER_NAME, lambda h: h.update(kind=["forecaster"])), HEADER_NAME),
    "another format": (edited(HEADER_NAME, lambda h: h.update(format=7)), HEADER_NAME),
    "files of another type": (edited(HEADER_NAME, lambda h: h.update(files=["model.json"])), HEADER_NAME),
    "a version that is not a number": (
        edited(HEADER_NAME, lambda h: h.update(exported_version="\x1b[31m1")),
        HEADER_NAME,
    ),
    "a metric that is not a number": (edited(HEADER_NAME, lambda h: h.update(metrics={"skill": "high"})), HEADER_NAME),
    "an infinite metric": (lambda c, _: {**c, HEADER_NAME: c[HEADER_NAME].replace(b"0.25", b"1e400")}, HEADER_NAME),
    "a metric with a path": (edited(HEADER_NAME, lambda h: h.update(metrics={"../skill": 1.0})), HEADER_NAME),
    "many metrics": (edited(HEADER_NAME, lambda h: h.update(metrics={f"m{i}": 1 for i in range(6000)})), HEADER_NAME),
    "a reserved tag": (edited(HEADER_NAME, lambda h: h.update(tags={"mlflow.user": "root"})), HEADER_NAME),
    "a long tag": (edited(HEADER_NAME, lambda h: h.update(tags={"note": "x" * 200_000})), HEADER_NAME),
    "a last hour that is not a time": (
        edited(HEADER_NAME, lambda h: h.update(tags={"data_last_hour": "yesterday"})),
        HEADER_NAME,
    ),
    "a missing last hour": (edited(HEADER_NAME, lambda h: h.update(tags={"trees_last_hour": "NaT"})), HEADER_NAME),
    "a manifest without stations": (edited("model.json", lambda m: m["about"].pop("stations")), "model.json"),
    "stations of another type": (edited("model.json", lambda m: m["about"].update(stations=[1, 2])), "model.json"),
    "fewer stations": (edited("model.json", lambda m: m["about"]["stations"].pop()), "arrays.npz"),
    "an unknown variable": (
        edited("model.json", lambda m: m["about"]["tree_models"][0].update(variable=9)),
        "model.json",
    ),
    "leads beyond the last": (
        edited("model.json", lambda m: m["about"]["tree_models"][0].update(leads=[24, 25])),
        "model.json",
    ),
    "trees that are missing": (
        edited("model.json", lambda m: m["about"]["tree_models"][0].update(leads=[1, 2])),
        "temperature-01-02.residual.txt",
    ),
    "a pickle": (
        lambda c, marker: with_new_checksums({**c, "arrays.npz": pickled(marker)}),
        "arrays.npz",
    ),
    "a missing array": (with_arrays(lambda a: a.pop("rho")), "arrays.npz"),
    "an array of another type": (with_arrays(lambda a: a.update(rho=a["rho"].astype("U"))), "arrays.npz"),
    "an array of another shape": (with_arrays(lambda a: a.update(rho=a["rho"][:, :-1])), "arrays.npz"),
    "a neighbour that does not exist": (
        with_arrays(lambda a: a["regression.neighbours"].__iadd__(1000)),
        "arrays.npz",
    ),
    "a split by a feature that does not exist": (
        lambda c, _: with_new_checksums({**c, TREES: re.sub(rb"(split_feature=)\d\d?\b", rb"\g<1>99", c[TREES])}),
        TREES,
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_bundle_is_rejected_and_leaves_nothing(
    what: str, contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, member = TAMPERED[what]
    file, marker, scratch = tmp_path / "changed", tmp_path / "executed", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    write(change(contents, marker), file)
    assert rejected_member(file) == member
    assert import_model(make_settings(tmp_path / "state"), file, promote=True) == 1
    output = capsys.readouterr()
    assert member in output.err
    assert output.out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"changed", "scratch"}
    assert list(scratch.iterdir()) == []


def test_random_changes_with_matching_checksums_are_rejected_or_load(contents: Contents, tmp_path: Path) -> None:
    rng, file, rejected = random.Random(11), tmp_path / "changed", 0
    names = sorted(contents)
    for _ in range(200):
        name = rng.choice([*names, "model.json", "arrays.npz"])
        data = bytearray(contents[name])
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        changed = {**contents, name: bytes(data)}
        if name not in (HEADER_NAME, "model.json"):
            changed = with_new_checksums(changed)
        elif name == "model.json":
            changed[HEADER_NAME] = with_digest(changed, name)
        write(changed, file)
        try:
            with open_bundle(file, LOADERS):
                pass
        except BundleError:
            rejected += 1
    assert 0 < rejected < 200

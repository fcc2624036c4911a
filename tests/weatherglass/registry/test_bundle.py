"""Export and import of models: an imported model is the exported one, and a changed file is rejected."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_settings
from tests.weatherglass.conftest import SMALL, Model
from weatherglass.cli.models import LOADERS, export_model, import_model
from weatherglass.forecast import fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import LEAD_GROUPS
from weatherglass.registry import artifact
from weatherglass.registry.bundle import HEADER_NAME, BundleError, export_bundle, open_bundle
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def forecaster(model: Model) -> BoostedForecaster:
    """A forecaster with trees for temperature and the first leads only, which is enough for a file."""
    trees = fit.fit_tree_model(model.grid, model.split, model.base, 0, LEAD_GROUPS[0], SMALL, seed=1).model
    return fit.assemble(model.grid, model.split, model.base, (trees,))


@pytest.fixture(scope="module")
def exported(forecaster: BoostedForecaster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """The settings of the exporting installation and the exported file."""
    root = tmp_path_factory.mktemp("cluster")
    settings = make_settings(root / "state")
    folder = root / "model"
    forecaster.save(folder)
    artifact.add_text(folder, "card.md", "# Model card")
    registry = Registry(settings)
    version = registry.register(
        FORECASTER, folder, {"skill.temperature": 0.25}, {"trees": 30}, {"data_source": "synthetic"}
    )
    registry.promote(FORECASTER, version, "test", "first model", {})
    file = root / "forecaster.weatherglass"
    champion = registry.champion(FORECASTER)
    assert champion is not None
    export_bundle(settings, champion, file, LOADERS)
    return settings, file


def test_an_imported_model_gives_the_same_forecasts_and_becomes_champion_if_there_is_none(
    model: Model,
    forecaster: BoostedForecaster,
    exported: tuple[Settings, Path],
    tmp_path: Path,
) -> None:
    laptop = make_settings(tmp_path / "state")
    assert import_model(laptop, exported[1], promote=False) == 0
    assert import_model(laptop, exported[1], promote=False) == 0
    imported = Registry(laptop).champion(FORECASTER)
    assert imported is not None
    assert imported.version == "1"
    assert (imported.tags["data_source"], imported.tags["imported_from_version"]) == ("synthetic", "1")
    assert (imported.folder / "card.md").read_text() == "# Model card"
    rows, base = [0, 1], [2000, 2001]
    original = forecaster.forecast(model.grid, rows, base)
    loaded = BoostedForecaster.load(imported.folder).forecast(model.grid, rows, base)
    assert np.array_equal(loaded.values, original.values)
    assert np.array_equal(loaded.upper[0.9], original.upper[0.9])
    assert import_model(laptop, exported[1], promote=True) == 0
    promoted = Registry(laptop).champion(FORECASTER)
    assert promoted is not None
    assert promoted.version == "3"


def test_an_export_of_an_unknown_version_fails_and_no_file_is_overwritten(
    exported: tuple[Settings, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_model(exported[0], FORECASTER, "99", tmp_path / "none") == 1
    assert "99" in capsys.readouterr().err
    existing = tmp_path / "existing"
    existing.write_text("content")
    assert export_model(exported[0], FORECASTER, "champion", existing) == 1
    assert existing.read_text() == "content"
    assert export_model(exported[0], FORECASTER, "champion", tmp_path / "new") == 0


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


def with_new_checksums(contents: Contents) -> Contents:
    """Return the contents with matching checksums, as an attacker could compute them."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items() if name != HEADER_NAME}
    manifest = json.loads(contents["model.json"])
    manifest["files"] = {name: digest for name, digest in digests.items() if name in manifest["files"]}
    changed = {**contents, "model.json": json.dumps(manifest).encode()}
    digests["model.json"] = hashlib.sha256(changed["model.json"]).hexdigest()
    header = json.loads(contents[HEADER_NAME])
    return {**changed, HEADER_NAME: json.dumps({**header, "files": digests}).encode()}


def without(contents: Contents, name: str) -> Contents:
    return {key: data for key, data in contents.items() if key != name}


TREES = "temperature-01-03.residual.txt"
TAMPERED: dict[str, tuple[Callable[[Contents, Path], Contents], str]] = {
    "a changed tree": (lambda c, _: {**c, TREES: c[TREES].replace(b"leaf_value=", b"leaf_value=9", 1)}, TREES),
    "a missing file": (lambda c, _: without(c, TREES), TREES),
    "an added file": (lambda c, _: {**c, "setup.py": b"print()"}, "setup.py"),
    "a file outside the folder": (lambda c, _: {**c, "../evil.txt": b""}, r"\.\./evil\.txt"),
    "a missing header": (lambda c, _: without(c, HEADER_NAME), HEADER_NAME),
    "an invalid header": (lambda c, _: {**c, HEADER_NAME: b"[1]"}, HEADER_NAME),
    "another kind": (lambda c, _: {**c, HEADER_NAME: c[HEADER_NAME].replace(b'"forecaster"', b'"oracle"')}, "oracle"),
    "another format": (lambda c, _: {**c, HEADER_NAME: c[HEADER_NAME].replace(b'"format": 2', b'"format": 7')}, "7"),
    "a pickle with matching checksums": (
        lambda c, marker: with_new_checksums({**c, "arrays.npz": pickled(marker)}),
        r"arrays\.npz",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_bundle_is_rejected_and_executes_nothing(
    what: str, exported: tuple[Settings, Path], tmp_path: Path
) -> None:
    change, name = TAMPERED[what]
    with zipfile.ZipFile(exported[1]) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    file, marker = tmp_path / "changed", tmp_path / "executed"
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in change(contents, marker).items():
            archive.writestr(member, data)
    with pytest.raises(BundleError, match=name), open_bundle(file, LOADERS):
        pass
    assert import_model(make_settings(tmp_path / "state"), file, promote=True) == 1
    assert not marker.exists()
    assert not (tmp_path / "evil.txt").exists()
    assert not (tmp_path / "state" / "models").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"a": 1})])
def test_a_file_that_is_no_bundle_is_rejected(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "foreign"
    file.write_bytes(content)
    with pytest.raises(BundleError, match="foreign"), open_bundle(file, LOADERS):
        pass
    with pytest.raises(BundleError, match="missing-file"), open_bundle(tmp_path / "missing-file", LOADERS):
        pass


def test_a_truncated_bundle_is_rejected(exported: tuple[Settings, Path], tmp_path: Path) -> None:
    whole = exported[1].read_bytes()
    file = tmp_path / "truncated"
    for share in (0.2, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BundleError, match="truncated"), open_bundle(file, LOADERS):
            pass

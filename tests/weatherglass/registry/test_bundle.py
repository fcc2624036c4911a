"""Models carried in a file: what arrives is what was sent, and nothing else gets in."""

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
from weatherglass.forecast.boosted_trees import LEAD_GROUPS, BoostedForecaster
from weatherglass.registry import artifact
from weatherglass.registry.bundle import ABOUT, BundleError, export_bundle, open_bundle
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def forecaster(model: Model) -> BoostedForecaster:
    """One with the trees of the first hours of temperature alone: training all would teach a file nothing more."""
    part = fit.fit_part(model.grid, model.parts, model.base, 0, LEAD_GROUPS[0], SMALL, seed=1).part
    return fit.assemble(model.grid, model.parts, model.base, (part,))


@pytest.fixture(scope="module")
def exported(forecaster: BoostedForecaster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """Where a forecaster was trained, and the file it was exported to."""
    place = tmp_path_factory.mktemp("cluster")
    settings = make_settings(place / "state")
    folder = place / "model"
    forecaster.save(folder)
    artifact.add_text(folder, "card.md", "# what it is")
    registry = Registry(settings)
    version = registry.register(
        FORECASTER, folder, {"skill.temperature": 0.25}, {"trees": 30}, {"data_source": "made-up"}
    )
    registry.promote(FORECASTER, version, "a test", "the first", {})
    file = place / "forecaster.weatherglass"
    champion = registry.champion(FORECASTER)
    assert champion is not None
    export_bundle(settings, champion, file, LOADERS)
    return settings, file


def test_what_arrives_forecasts_the_same(
    model: Model,
    forecaster: BoostedForecaster,
    exported: tuple[Settings, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    laptop = make_settings(tmp_path / "state")
    assert import_model(laptop, exported[1], promote=False) == 0
    assert "champion now" in capsys.readouterr().out, "there was none"
    assert import_model(laptop, exported[1], promote=False) == 0
    assert "champion stays" in capsys.readouterr().out
    arrived = Registry(laptop).champion(FORECASTER)
    assert arrived is not None
    assert arrived.tags["data_source"] == "made-up"
    assert (arrived.folder / "card.md").read_text() == "# what it is"
    rows, base = [0, 1], [2000, 2001]
    sent = forecaster.forecast(model.grid, rows, base)
    got = BoostedForecaster.load(arrived.folder).forecast(model.grid, rows, base)
    assert np.array_equal(got.values, sent.values)
    assert np.array_equal(got.upper[0.9], sent.upper[0.9])


def test_an_export_names_what_is_missing_and_overwrites_nothing(
    exported: tuple[Settings, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_model(exported[0], FORECASTER, "99", tmp_path / "none") == 1
    assert "99" in capsys.readouterr().err
    there = tmp_path / "there"
    there.write_text("mine")
    assert export_model(exported[0], FORECASTER, "champion", there) == 1
    assert there.read_text() == "mine"
    assert export_model(exported[0], FORECASTER, "champion", tmp_path / "new") == 0


class Trap:
    """What runs if somebody unpickles it."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def pickled(mark: Path) -> bytes:
    data = io.BytesIO()
    np.savez(data, coefficients=np.array([Trap(mark)], dtype=object))
    return data.getvalue()


def resealed(contents: Contents) -> Contents:
    """With the checksums of what is in it, as somebody would who knows how."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items() if name != ABOUT}
    seal = json.loads(contents["model.json"])
    seal["files"] = {name: digest for name, digest in digests.items() if name in seal["files"]}
    made = {**contents, "model.json": json.dumps(seal).encode()}
    digests["model.json"] = hashlib.sha256(made["model.json"]).hexdigest()
    header = json.loads(contents[ABOUT])
    return {**made, ABOUT: json.dumps({**header, "files": digests}).encode()}


def without(contents: Contents, name: str) -> Contents:
    return {key: data for key, data in contents.items() if key != name}


TREES = "temperature-01-03.mean.txt"
TAMPERED: dict[str, tuple[Callable[[Contents, Path], Contents], str]] = {
    "a tree is changed": (lambda c, _: {**c, TREES: c[TREES].replace(b"leaf_value=", b"leaf_value=9", 1)}, TREES),
    "a file is gone": (lambda c, _: without(c, TREES), TREES),
    "a file was added": (lambda c, _: {**c, "setup.py": b"print()"}, "setup.py"),
    "a file outside": (lambda c, _: {**c, "../evil.txt": b""}, r"\.\./evil\.txt"),
    "no header": (lambda c, _: without(c, ABOUT), ABOUT),
    "a header of nonsense": (lambda c, _: {**c, ABOUT: b"[1]"}, ABOUT),
    "another kind": (lambda c, _: {**c, ABOUT: c[ABOUT].replace(b'"forecaster"', b'"oracle"')}, "oracle"),
    "another format": (lambda c, _: {**c, ABOUT: c[ABOUT].replace(b'"format": 1', b'"format": 7')}, "7"),
    "a pickle, resealed": (lambda c, mark: resealed({**c, "arrays.npz": pickled(mark)}), r"arrays\.npz"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_file_is_refused_by_name_and_nothing_in_it_runs(
    what: str, exported: tuple[Settings, Path], tmp_path: Path
) -> None:
    change, words = TAMPERED[what]
    with zipfile.ZipFile(exported[1]) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    file, mark = tmp_path / "changed", tmp_path / "it-ran"
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in change(contents, mark).items():
            archive.writestr(name, data)
    with pytest.raises(BundleError, match=words), open_bundle(file, LOADERS):
        pass
    assert import_model(make_settings(tmp_path / "state"), file, promote=True) == 1
    assert not mark.exists()
    assert not (tmp_path / "evil.txt").exists()
    assert not (tmp_path / "state" / "models").exists(), "nothing is registered"


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"a": 1})])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "foreign"
    file.write_bytes(content)
    with pytest.raises(BundleError, match="foreign"), open_bundle(file, LOADERS):
        pass
    with pytest.raises(BundleError, match="does not exist"), open_bundle(tmp_path / "nowhere", LOADERS):
        pass


def test_a_cut_off_file_is_refused(exported: tuple[Settings, Path], tmp_path: Path) -> None:
    whole = exported[1].read_bytes()
    file = tmp_path / "cut"
    for share in (0.2, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BundleError, match="cut"), open_bundle(file, LOADERS):
            pass

"""Export and import of models: an imported model is the exported one, and an invalid file is rejected with its part."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import random
import re
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.conftest import make_settings
from tests.weatherglass.conftest import SMALL, Model
from weatherglass.cli.models import LOADERS, export_model, import_model
from weatherglass.forecast import fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import LEAD_GROUPS
from weatherglass.registry import artifact
from weatherglass.registry.bundle import HEADER_NAME, MAX_BYTES, BundleError, export_bundle, open_bundle
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

Contents = dict[str, bytes]
T = TypeVar("T")


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


def test_tags_of_mlflow_are_not_exported_and_a_tag_that_an_import_would_refuse_is_named(
    forecaster: BoostedForecaster, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecaster.save(tmp_path / "model")
    registry, file = Registry(settings), tmp_path / "exported"
    version = registry.register(FORECASTER, tmp_path / "model", {}, {}, {"note": "kept"})
    registry.set_tags(FORECASTER, version, {"mlflow.note.content": "text"})
    assert export_model(settings, FORECASTER, version, file) == 0
    with open_bundle(file, LOADERS) as (info, _):
        assert info.tags == {"note": "kept"}
    file.unlink()
    registry.set_tags(FORECASTER, version, {"a/b": "text"})
    assert export_model(settings, FORECASTER, version, file) == 1
    assert "a/b" in capsys.readouterr().err
    assert not file.exists()


def test_an_import_that_cannot_be_stored_ends_with_a_message_and_leaves_no_part(
    exported: tuple[Settings, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_halfway(source: Path, target: Path) -> None:
        target.mkdir(parents=True)
        (target / "model.json").write_bytes(b"{")
        raise OSError(errno.ENOSPC, "No space left on device")

    laptop = make_settings(tmp_path / "state")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.copytree", fail_halfway)
        assert import_model(laptop, exported[1], promote=True) == 1
    assert "No space left" in capsys.readouterr().err
    assert list((laptop.artifacts_dir / FORECASTER).iterdir()) == []
    assert Registry(laptop).champion(FORECASTER) is None
    assert import_model(laptop, exported[1], promote=True) == 0


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


TREES = "temperature-01-03.residual.txt"
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
    "a version that is no number": (
        edited(HEADER_NAME, lambda h: h.update(exported_version="\x1b[31m1")),
        HEADER_NAME,
    ),
    "a metric that is no number": (edited(HEADER_NAME, lambda h: h.update(metrics={"skill": "high"})), HEADER_NAME),
    "an infinite metric": (lambda c, _: {**c, HEADER_NAME: c[HEADER_NAME].replace(b"0.25", b"1e400")}, HEADER_NAME),
    "a metric with a path": (edited(HEADER_NAME, lambda h: h.update(metrics={"../skill": 1.0})), HEADER_NAME),
    "many metrics": (edited(HEADER_NAME, lambda h: h.update(metrics={f"m{i}": 1 for i in range(2000)})), HEADER_NAME),
    "a reserved tag": (edited(HEADER_NAME, lambda h: h.update(tags={"mlflow.user": "root"})), HEADER_NAME),
    "a long tag": (edited(HEADER_NAME, lambda h: h.update(tags={"note": "x" * 200_000})), HEADER_NAME),
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


@pytest.fixture
def contents(exported: tuple[Settings, Path]) -> Contents:
    with zipfile.ZipFile(exported[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


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


def add_member(file: Path, name: str, data: bytes = b"x", mode: int = 0) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, data)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFDIR])
def test_a_member_that_is_no_regular_file_is_rejected(mode: int, contents: Contents, tmp_path: Path) -> None:
    write(contents, tmp_path / "changed")
    add_member(tmp_path / "changed", "link.txt", b"/etc/passwd", mode | 0o777)
    assert rejected_member(tmp_path / "changed") == "link.txt"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["arrays.npz", "Arrays.npz"])
def test_names_that_are_equal_in_some_file_systems_are_rejected(name: str, contents: Contents, tmp_path: Path) -> None:
    write(contents, tmp_path / "changed")
    add_member(tmp_path / "changed", name)
    assert rejected_member(tmp_path / "changed") is None


def test_a_bundle_that_unpacks_to_more_than_the_limit_is_rejected(contents: Contents, tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    write(contents, file)
    with (
        zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("bomb.txt", "w") as member,
    ):
        for _ in range(MAX_BYTES >> 24):
            member.write(bytes(1 << 24))
    assert file.stat().st_size < MAX_BYTES / 100
    assert rejected_member(file) is None


def test_a_size_below_the_real_one_is_rejected(contents: Contents, tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    write({**contents, "bomb.txt": bytes(1 << 24)}, file)
    changed = bytearray(file.read_bytes())
    entry = changed.rindex(b"PK\x01\x02")
    changed[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    file.write_bytes(changed)
    with pytest.raises(BundleError), open_bundle(file, LOADERS):
        pass


@pytest.mark.parametrize("count", [600, 70_000])
def test_a_bundle_with_too_many_files_is_rejected(count: int, tmp_path: Path) -> None:
    file = tmp_path / "many"
    write({f"{number}": b"" for number in range(count)}, file)
    assert rejected_member(file) is None


def test_data_before_or_after_the_archive_is_rejected(contents: Contents, tmp_path: Path) -> None:
    file = tmp_path / "changed"
    write(contents, file)
    archive = file.read_bytes()
    for content in (b"#!/bin/sh\n" + archive, archive + b"x"):
        file.write_bytes(content)
        assert rejected_member(file) is None


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"a": 1}), bytes(1000)])
def test_a_file_that_is_no_bundle_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(content)
    assert rejected_member(tmp_path / "foreign") is None


def test_a_path_that_is_no_file_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert rejected_member(path) is None


def test_a_truncated_bundle_is_rejected(exported: tuple[Settings, Path], tmp_path: Path) -> None:
    whole = exported[1].read_bytes()
    file = tmp_path / "truncated"
    for share in (0.2, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert rejected_member(file) is None


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


def test_a_refused_bundle_replaces_nothing(exported: tuple[Settings, Path], contents: Contents, tmp_path: Path) -> None:
    laptop = make_settings(tmp_path / "state")
    assert import_model(laptop, exported[1], promote=False) == 0
    write(without(contents, TREES), tmp_path / "changed")
    before = sorted(path for path in laptop.artifacts_dir.rglob("*"))
    assert import_model(laptop, tmp_path / "changed", promote=True) == 1
    champion = Registry(laptop).champion(FORECASTER)
    assert champion is not None
    assert champion.version == "1"
    assert Registry(laptop).version(FORECASTER, "2") is None
    assert sorted(path for path in laptop.artifacts_dir.rglob("*")) == before


def test_only_the_published_or_signed_file_is_imported(
    exported: tuple[Settings, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, state = exported[0], make_settings(tmp_path / "state")
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    private, public, wrong = tmp_path / "key.pem", tmp_path / "public.pem", tmp_path / "wrong.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for path, owner in ((public, key), (wrong, other)):
        path.write_bytes(owner.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    file = tmp_path / "signed"
    assert export_model(settings, FORECASTER, "champion", file, public) == 1
    assert not file.exists()
    assert export_model(settings, FORECASTER, "champion", file, private) == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest in capsys.readouterr().out

    assert import_model(state, file, False, sha256="0" * 64) == 1
    assert import_model(state, file, False, sha256=digest, public_key=wrong) == 1
    assert import_model(state, exported[1], False, public_key=public) == 1
    assert not (tmp_path / "state").exists()
    assert import_model(state, file, False, sha256=digest, public_key=public) == 0
    write({HEADER_NAME: b"{}"}, file)
    assert import_model(state, file, False, public_key=public) == 1

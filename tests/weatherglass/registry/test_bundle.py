"""Export and import of models: an imported model is the exported one, and an invalid file is rejected with its part."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.conftest import make_settings
from tests.weatherglass.conftest import Model
from tests.weatherglass.registry.bundles import TREES, Contents, rejected_member, without, write
from tests.weatherglass.registry.conftest import METRICS
from weatherglass.cli.models import LOADERS, export_model, import_model
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.registry.bundle import HEADER_NAME, MAX_BYTES, BundleError, export_bundle, open_bundle
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration


def test_the_same_model_gives_the_same_bundle(exported: tuple[Settings, Path], tmp_path: Path) -> None:
    """Also at another time."""
    settings, first = exported
    second = tmp_path / "second"
    champion = Registry(settings).champion(FORECASTER)
    assert champion is not None
    for file in champion.folder.iterdir():
        os.utime(file, (1e9, 1e9))
    export_bundle(settings, champion, second, LOADERS)
    assert second.read_bytes() == first.read_bytes()


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
    assert next(m for m in registered_models(laptop) if m.version == "1").metrics == METRICS
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


def add_member(file: Path, name: str, data: bytes = b"x", mode: int = 0) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, data)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFDIR])
def test_a_member_that_is_not_a_regular_file_is_rejected(mode: int, contents: Contents, tmp_path: Path) -> None:
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
def test_a_file_that_is_not_a_bundle_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(content)
    assert rejected_member(tmp_path / "foreign") is None


def test_a_path_that_is_not_a_file_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert rejected_member(path) is None


def test_a_truncated_bundle_is_rejected(exported: tuple[Settings, Path], tmp_path: Path) -> None:
    whole = exported[1].read_bytes()
    file = tmp_path / "truncated"
    for share in (0.2, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert rejected_member(file) is None


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

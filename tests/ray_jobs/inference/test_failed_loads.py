"""Failures to load a model: unavailable files are no evidence against a model, damaged ones are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_jobs.inference.failed_loads import (
    CONFIRMATION_SECONDS,
    FIRST_RETRY_SECONDS,
    MAX_RETRY_SECONDS,
    FailedLoads,
)
from tests.clock import Clock
from weatherglass.registry.artifact import MANIFEST
from weatherglass.registry.registry import ModelVersion

LONG = 1000 * CONFIRMATION_SECONDS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loads(clock: Clock) -> FailedLoads:
    return FailedLoads(clock)


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (MANIFEST, "arrays.npz"):
        (folder / name).write_bytes(b"content")
    return ModelVersion("kind", "7", folder, {})


def hidden(error: Exception) -> Exception:
    """A ValueError that was raised from None while `error` was handled."""
    try:
        try:
            raise error
        except Exception:
            raise ValueError("not readable") from None
    except ValueError as raised:
        return raised


MISMATCH = ValueError("arrays.npz: changed since the model was saved")


def test_readable_files_that_stay_wrong_are_damaged(loads: FailedLoads, version: ModelVersion, clock: Clock) -> None:
    assert not loads.record(version, MISMATCH).damaged
    clock.now += CONFIRMATION_SECONDS - 1
    assert not loads.record(version, MISMATCH).damaged
    clock.now += 1
    assert loads.record(version, MISMATCH).damaged


def append(folder: Path) -> None:
    with (folder / "arrays.npz").open("ab") as file:
        file.write(b"x")


def rewrite(folder: Path) -> None:
    """The same size, as by a repair in place."""
    file = folder / "arrays.npz"
    changed = file.stat().st_mtime_ns + 1
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(changed, changed))


@pytest.mark.parametrize(
    "change", [append, rewrite, lambda folder: (folder / "new").touch(), lambda folder: (folder / MANIFEST).unlink()]
)
def test_files_that_change_are_not_damaged(
    loads: FailedLoads, version: ModelVersion, clock: Clock, change: Callable[[Path], None]
) -> None:
    loads.record(version, MISMATCH)
    clock.now += LONG
    change(version.folder)
    assert not loads.record(version, MISMATCH).damaged
    clock.now += CONFIRMATION_SECONDS
    assert loads.record(version, MISMATCH).damaged


SYSTEM_ERRORS = (
    *(OSError(5, "Input/output error"), OSError(116, "Stale file handle"), PermissionError(13, "x"), MemoryError()),
    *(hidden(TimeoutError("x")), hidden(PermissionError(13, "x"))),
)


@pytest.mark.parametrize("error", SYSTEM_ERRORS, ids=repr)
def test_errors_of_the_system_are_not_evidence(
    loads: FailedLoads, version: ModelVersion, clock: Clock, error: Exception
) -> None:
    for _ in range(5):
        assert not loads.record(version, error).damaged
        clock.now += LONG


def rename_away(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def empty(folder: Path) -> None:
    """What is left of a file system that is not mounted."""
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("remove", [rename_away, empty])
def test_a_folder_that_is_missing_or_empty_is_not_evidence(
    loads: FailedLoads, version: ModelVersion, clock: Clock, remove: Callable[[Path], None]
) -> None:
    remove(version.folder)
    for _ in range(5):
        assert not loads.record(version, hidden(FileNotFoundError(MANIFEST))).damaged
        clock.now += LONG


def test_time_without_access_does_not_count(loads: FailedLoads, version: ModelVersion, clock: Clock) -> None:
    loads.record(version, PermissionError(13, "x"))
    clock.now += LONG
    assert not loads.record(version, MISMATCH).damaged
    clock.now += LONG
    loads.record(version, PermissionError(13, "x"))
    clock.now += LONG
    assert not loads.record(version, MISMATCH).damaged


def test_a_missing_file_in_an_existing_folder_is_damage(
    loads: FailedLoads, version: ModelVersion, clock: Clock
) -> None:
    (version.folder / MANIFEST).unlink()
    loads.record(version, hidden(FileNotFoundError(MANIFEST)))
    clock.now += CONFIRMATION_SECONDS
    assert loads.record(version, hidden(FileNotFoundError(MANIFEST))).damaged


def test_retries_back_off_to_a_limit_and_start_again_when_the_files_change(
    loads: FailedLoads, version: ModelVersion, clock: Clock
) -> None:
    assert loads.is_due(version)
    delays = []
    for _ in range(8):
        loads.record(version, MISMATCH)
        began = clock.now
        while not loads.is_due(version):
            clock.now += 0.5
        delays.append(clock.now - began)
    assert delays == [3, 6, 12, 24, 30, 30, 30, 30]
    assert (delays[0], delays[-1]) == (FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS)
    append(version.folder)
    loads.record(version, MISMATCH)
    clock.now += FIRST_RETRY_SECONDS
    assert loads.is_due(version)


def test_versions_are_independent_and_forgotten(loads: FailedLoads, version: ModelVersion) -> None:
    other = ModelVersion("kind", "8", version.folder, {})
    loads.record(version, MISMATCH)
    assert loads.reason(version) == str(MISMATCH)
    assert not loads.is_due(version)
    assert loads.is_due(other)
    assert loads.reason(other) is None
    loads.forget(version)
    assert loads.is_due(version)
    assert loads.reason(version) is None

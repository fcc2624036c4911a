"""Arrays of models: what `savez` writes is restored exactly, and headers are checked before memory is allocated."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from weatherglass.registry.arrays import ModelArrays, load_arrays, save_arrays
from weatherglass.registry.artifact import ModelFileError

ARRAYS = {
    "table": np.arange(12, dtype=np.float64).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "flags": np.array([True, False]),
    "index": np.array([-1, 0, 2], dtype=np.int64),
    "hours": np.array(["2026-01-01T00"], dtype="datetime64[h]"),
    "empty": np.empty((0, 4)),
    "scalar": np.float64(3.5),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_arrays(tmp_path / "arrays.npz", {name: np.asarray(array) for name, array in ARRAYS.items()})
    return tmp_path / "arrays.npz"


def test_saved_arrays_are_restored_with_values_types_and_shapes(file: Path) -> None:
    loaded = load_arrays(file)
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded[name], array)
    loaded["table"][0, 0] = 7.0  # as with NumPy's own loader


def member(array: object, **options: bool) -> bytes:
    data = io.BytesIO()
    np.save(data, array, **options)  # type: ignore[arg-type]
    return data.getvalue()


def claiming(shape: tuple[int, ...], data: bytes, dtype: str = "<f8") -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue() + data


def with_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(8)


MALFORMED: dict[str, bytes] = {
    "a shape of 12 GB": claiming((1_600_000_000,), bytes(1_500_000)),
    "a shape beyond 64 bits": claiming((1 << 40, 1 << 40), bytes(8)),
    "a negative shape": claiming((-1, -1), bytes(8)),
    "less data than the shape": claiming((3,), bytes(16)),
    "more data than the shape": claiming((3,), bytes(32)),
    "objects": member(np.array([{}], dtype=object), allow_pickle=True),
    "objects in a field": claiming((1,), bytes(8), "|O"),
    "another format": b"\x93NUMPY\x09\x00" + bytes(100),
    "no array": b"plain text",
    "nothing": b"",
    "a header that is not a dictionary": with_header("[" * 5000),
    "a header with a call": with_header("{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}"),
    "a header without shape": with_header("{'descr': '<f8', 'fortran_order': False}"),
    "a header with a shape that is not a tuple": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': 'x'}"),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_array_is_rejected_with_the_file_and_without_allocating_memory(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "arrays.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.npy", content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError) as raised:
            load_arrays(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert raised.value.path == path
    assert peak < 20_000_000


def test_a_compressed_array_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, table=np.zeros(1_000_000))
    with pytest.raises(ModelFileError):
        load_arrays(path)


def test_repeated_and_too_many_names_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    for names in (["a.npy", "a"], [f"{number}.npy" for number in range(2000)]):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, member(np.zeros(1)))
        with pytest.raises(ModelFileError):
            load_arrays(path)


@pytest.mark.parametrize("content", [b"", b"text", member(np.zeros(3))], ids=["empty", "text", "npy"])
def test_a_file_that_is_not_an_archive_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        load_arrays(path)


def test_random_changes_are_rejected_or_restored(file: Path) -> None:
    original, rng = file.read_bytes(), random.Random(5)
    rejected = 0
    for _ in range(1500):
        changed = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        if rng.random() < 0.2:
            del changed[rng.randrange(len(changed)) :]
        file.write_bytes(changed)
        try:
            load_arrays(file)
        except ModelFileError:
            rejected += 1
    assert rejected > 1000


def take(name: str, *arguments: object) -> Callable[[ModelArrays], object]:
    return lambda arrays: arrays.take(name, *arguments)  # type: ignore[arg-type]


def test_an_array_that_fits_is_returned(file: Path) -> None:
    arrays = ModelArrays(file)
    np.testing.assert_array_equal(arrays.take("table", np.float64, (3, None)), ARRAYS["table"])
    np.testing.assert_array_equal(arrays.take("index", np.int64, (3,), -1, 2), ARRAYS["index"])


@pytest.mark.parametrize(
    "taken",
    [
        take("missing", np.float64, (3, 4)),
        take("table", np.float32, (3, 4)),
        take("table", np.float64, (3, 5)),
        take("table", np.float64, (12,)),
        take("empty", np.float64, (None, 4)),
        take("index", np.int64, (3,), 0, 2),
        take("index", np.int64, (3,), -1, 1),
    ],
)
def test_an_array_that_does_not_fit_is_rejected(file: Path, taken: Callable[[ModelArrays], object]) -> None:
    with pytest.raises(ModelFileError) as raised:
        taken(ModelArrays(file))
    assert raised.value.path == file

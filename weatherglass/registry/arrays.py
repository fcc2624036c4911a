"""The arrays of a model or of a training step: one `.npz` file, written by `numpy.savez`.

A header of NumPy's format may claim any shape, so it is compared with the size of the data before memory is allocated.
The members are not compressed, so a file never needs more memory than its own size. Arrays of objects, which contain
pickles, are rejected.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.registry.artifact import ModelFileError

MAX_ARRAYS = 1000
_SUFFIX = ".npy"


def save_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an `.npz` file by name.

    Raises:
        ModelFileError: the file is not readable as plain arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(_SUFFIX) for member in members]
            if len(set(names)) != len(names) or len(names) > MAX_ARRAYS:
                raise ModelFileError(path, f"contains repeated names or more than {MAX_ARRAYS} arrays")
            return {name: _load(path, archive, member) for name, member in zip(names, members, strict=True)}
    except ModelFileError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen different types for malformed files
        raise ModelFileError(path, f"not readable as plain arrays: {error}") from None


def _load(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise ModelFileError(path, f"the array {member.filename!r} is compressed")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ModelFileError(path, f"the array {member.filename!r} has another format than 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject:
            raise ModelFileError(path, f"the array {member.filename!r} contains objects")
        claimed, found = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if claimed != found or min(shape, default=0) < 0:
            raise ModelFileError(path, f"the array {member.filename!r} claims {claimed:,} bytes and has {found:,}")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


class ModelArrays:
    """The arrays of a model, each checked when it is taken.

    Raises:
        ModelFileError: the file is not readable as plain arrays.
    """

    def __init__(self, path: Path):
        self._path = path
        self._arrays = load_arrays(path)

    def take(
        self,
        name: str,
        dtype: npt.DTypeLike,
        shape: tuple[int | None, ...],
        low: float | None = None,
        high: float | None = None,
    ) -> npt.NDArray[Any]:
        """Return an array.

        Args:
            shape: None for an axis of any length above 0.
            low, high: limits of the values, inclusive, for arrays of indices.

        Raises:
            ModelFileError: the array is missing, has another type or shape, or values outside the limits.
        """
        array = self._arrays.get(name)
        if array is None:
            raise ModelFileError(self._path, f"the array {name!r} is missing")
        fits = len(array.shape) == len(shape) and all(
            found > 0 if expected is None else found == expected
            for found, expected in zip(array.shape, shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            expected_shape = tuple("any" if size is None else size for size in shape)
            raise ModelFileError(
                self._path,
                f"the array {name!r} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {expected_shape}",
            )
        if array.size and ((low is not None and array.min() < low) or (high is not None and array.max() > high)):
            raise ModelFileError(self._path, f"the array {name!r} has values outside {low} to {high}")
        return array

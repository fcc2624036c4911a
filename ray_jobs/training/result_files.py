"""Results of training steps as files: JSON for plain values, `.npz` for arrays, LightGBM's text format for trees.

A result is a dataclass, or a plain value or container. It is read by the type annotations of the dataclass, and
executes nothing from the files. Numbers, arrays and trees are restored exactly.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from weatherglass.files import DamagedFileError, read_json
from weatherglass.registry.arrays import load_arrays, save_arrays
from weatherglass.registry.artifact import ModelFileError

T = TypeVar("T")
VALUES = "result.json"
ARRAYS = "arrays.npz"


def write(folder: Path, result: object) -> None:
    """Write a result into an existing, empty folder.

    Raises:
        TypeError: the result contains a value that these files cannot hold.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    values = _encode(result, "result", folder, arrays)
    save_arrays(folder / ARRAYS, arrays)
    (folder / VALUES).write_text(json.dumps(values), encoding="utf-8")


def read(folder: Path, kind: type[T]) -> T:
    """Read a result of the type `kind`, the one that was written.

    Raises:
        FileNotFoundError: there is no result.
        DamagedFileError: a file of the result is damaged.
    """
    remedy = f"Remove {folder}: the step is repeated"
    try:
        arrays = load_arrays(folder / ARRAYS)
    except ModelFileError as error:
        raise DamagedFileError(folder / ARRAYS, error.problem, remedy) from error
    return read_json(folder / VALUES, lambda values: cast(T, _decode(kind, values, "result", folder, arrays)), remedy)


def _encode(value: Any, name: str, folder: Path, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    """The JSON of a value; arrays and trees go to files, under the name of their place in the result."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays[name] = value
        return name
    if _is_booster(value):
        value.save_model(folder / f"{name}.txt")
        return name
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _encode(getattr(value, f.name), f"{name}.{f.name}", folder, arrays) for f in fields(value)}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _encode(item, f"{name}.{key}", folder, arrays) for key, item in value.items()}
    if isinstance(value, frozenset):
        value = sorted(value)
    if isinstance(value, tuple | list):
        return [_encode(item, f"{name}.{i}", folder, arrays) for i, item in enumerate(value)]
    raise TypeError(f"{name} of type {type(value).__name__} cannot be written to a result file")


def _decode(kind: Any, value: Any, name: str, folder: Path, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    """The inverse of `_encode` for a value of the annotated type `kind`."""
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (argument for argument in arguments if argument is not types.NoneType)
        return _decode(kind, value, name, folder, arrays)
    if origin is np.ndarray:
        return arrays[name]
    if origin is np.datetime64:
        return np.datetime64(value)
    if origin in (tuple, list, frozenset):
        fixed = origin is tuple and Ellipsis not in arguments
        kinds = arguments if fixed else arguments[:1] * len(value)
        pairs = enumerate(zip(kinds, value, strict=True))
        return origin(_decode(each, item, f"{name}.{i}", folder, arrays) for i, (each, item) in pairs)
    if origin is dict:
        return {key: _decode(arguments[1], item, f"{name}.{key}", folder, arrays) for key, item in value.items()}
    if not isinstance(origin, type):
        return value
    if is_dataclass(origin):
        hints = _hints(origin)
        return origin(
            **{key: _decode(hints[key], item, f"{name}.{key}", folder, arrays) for key, item in value.items()}
        )
    if issubclass(origin, Enum):
        return origin(value)
    if issubclass(origin, datetime):
        return datetime.fromisoformat(value)
    if origin.__module__.startswith("lightgbm"):
        booster: Any = origin
        return booster(model_file=folder / f"{name}.txt")
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_booster(value: object) -> bool:
    """Does not import LightGBM, which the process that runs the steps does without."""
    lightgbm = sys.modules.get("lightgbm")
    return lightgbm is not None and isinstance(value, lightgbm.Booster)

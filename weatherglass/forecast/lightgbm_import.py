"""Import LightGBM without pandas and scikit-learn, and load its models from validated text.

`from weatherglass.forecast.lightgbm_import import lightgbm`

LightGBM imports pandas and scikit-learn if they are installed, for optional interfaces that this project does not
use. They take 130 MB in every process that trains or forecasts, so their import is blocked while LightGBM loads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from weatherglass.registry import lightgbm_text
from weatherglass.registry.artifact import ModelFileError


@contextmanager
def _block_imports(*names: str) -> Iterator[None]:
    """Make the import of these packages fail: Python raises ImportError for a module whose entry is None."""
    loaded = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in loaded.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


with _block_imports("sklearn", "pandas"):
    import lightgbm

__all__ = ["lightgbm", "load_trees"]


def load_trees(path: Path, features: Sequence[str], objective: str) -> lightgbm.Booster:
    """Load the trees of a model folder; LightGBM gets only text that was validated.

    Raises:
        ModelFileError: the file is missing, or is not a model of these features with this objective.
    """
    try:
        if path.stat().st_size > lightgbm_text.MAX_BYTES:
            raise ModelFileError(path, f"larger than the limit of {lightgbm_text.MAX_BYTES:,} bytes")
        return lightgbm.Booster(model_str=lightgbm_text.validate(path.read_bytes(), features, objective))
    except FileNotFoundError:
        raise ModelFileError(path, "missing; train a new model or restore the file") from None
    except (lightgbm_text.InvalidTrees, lightgbm.basic.LightGBMError) as error:
        raise ModelFileError(path, str(error)) from None

"""Import LightGBM without pandas and scikit-learn: `from weatherglass.forecast.lightgbm_import import lightgbm`.

LightGBM imports pandas and scikit-learn if they are installed, for optional interfaces that this project does not
use. They take 130 MB in every process that trains or forecasts, so their import is blocked while LightGBM loads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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

__all__ = ["lightgbm"]

"""LightGBM by itself: `from weatherglass.forecast.lightgbm_import import lightgbm`.

LightGBM imports scikit-learn and pandas wherever they are installed, for conveniences that nobody here uses. They
weigh 130 MB in every process that forecasts or trains, so they are hidden from it while it is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """As if these packages were not installed; Python takes None among its modules for that."""
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


with _hidden("sklearn", "pandas"):
    import lightgbm

__all__ = ["lightgbm"]

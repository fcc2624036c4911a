"""LightGBM is imported without what it does not need, and both can be imported afterwards."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import sys
from weatherglass.forecast import boosted_trees, fit
heavy = [name for name in ("pandas", "sklearn", "mlflow", "matplotlib") if name in sys.modules]
assert not heavy, heavy
import pandas, sklearn.ensemble
assert pandas.DataFrame and sklearn.ensemble.IsolationForest
"""


def test_who_forecasts_or_trains_loads_neither_pandas_nor_scikit_learn() -> None:
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr

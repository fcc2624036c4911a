from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from weatherglass.forecast import boosted_trees, fit
print(*[name for name in ("pandas", "sklearn", "mlflow", "matplotlib") if name in sys.modules])
import pandas, sklearn.ensemble
print(pandas.DataFrame.__name__, sklearn.ensemble.IsolationForest.__name__)
"""


def test_forecast_and_fit_import_neither_pandas_nor_scikit_learn_and_leave_them_importable() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["", "DataFrame IsolationForest"]

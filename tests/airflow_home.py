"""Gives Airflow a temporary home. Import it before anything of Airflow's, which reads its configuration at import."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

HOME = tempfile.mkdtemp(prefix="weatherglass-airflow-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=os.path.join(HOME, "dags"),  # noqa: PTH118
    AIRFLOW__CORE__PLUGINS_FOLDER=os.path.join(HOME, "plugins"),  # noqa: PTH118
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
)
